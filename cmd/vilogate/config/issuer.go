package config

// isShared reports whether the issuer shares a secret with us, in place of publishing keys.
func (i *Issuer) isShared() bool { return i.isSet("secret") || i.isSet("secrets") }

// SharedSecrets are the secrets, any of which may have signed; empty for an issuer with published keys.
func (i *Issuer) SharedSecrets() []string {
	if i.Secret != "" {
		return []string{i.Secret}
	}
	return i.Secrets
}

// WithoutAudience reports whether its tokens name no audience.
func (i *Issuer) WithoutAudience() bool { return i.isSet("audience") && i.Audience == nil }

// KeepsRoles reports whether roles count as the issuer spells them.
func (i *Issuer) KeepsRoles() bool {
	return len(i.Claims.Roles) > 0 && i.RolesUnmapped == "keep"
}
