package config

import "github.com/viloforge/vilogate/policies/strictyaml"

// Issuer is somebody else whose tokens are believed, by published keys or by a shared secret.
type Issuer struct {
	// Name is how policies and headers call it: it prefixes the subjects. "vilogate" is our own IdP.
	Name string `yaml:"name,required"`
	// Issuer is the `iss` of its tokens, byte for byte. An https address needs nothing else: its keys are found by discovery
	// unless JWKS or Keys is given. What is no https address (http://fs.corp.example/adfs/services/trust, a SPIFFE trust
	// domain) needs one of them. Optional with Secret: then its tokens have no `iss` and no subject, Claims says who they are
	// for, and only one such issuer is possible.
	Issuer string `yaml:"issuer"`
	// JWKS is the address of its keys, https. One redirect is followed, to https too. Optional.
	JWKS string `yaml:"jwks"`
	// Keys are its public keys themselves: a file with a JSON Web Key Set (RFC 7517), or a list of such keys. They are read
	// with the configuration, at a reload too, and nothing is fetched. Optional; not with JWKS.
	Keys Keys `yaml:"keys"`
	// CA is a file of PEM certificates that are trusted as the servers of its discovery and of its keys, and no others.
	// These are asked through HTTPS_PROXY, where the environment has it and NO_PROXY does not name them. Optional: the usual
	// ones.
	CA string `yaml:"ca"`
	// Audience are the audiences of which a token must have one; "none" for tokens that name none, and then ClientIDs says
	// whose they are. Required where Issuer stands.
	Audience Audiences `yaml:"audience"`
	// ClientIDs are the clients whose tokens are believed, with `audience: none`: the claims client_id and azp of a token, one
	// of which it must have, must be among them. A token that names an audience, or is of the type at+jwt, is refused there.
	ClientIDs []string `yaml:"client_ids"`
	// Secret is the shared secret of its tokens, at least 32 bytes.
	Secret string `yaml:"secret"`
	// Secrets are several, in place of Secret, while one replaces another: any of them may have signed.
	Secrets []string `yaml:"secrets"`
	// Algorithm goes with Secret and Secrets: HS256, HS384 or HS512. Optional: HS256.
	Algorithm string `yaml:"algorithm"`
	// Algorithms are those with which its published keys may sign, such as [RS256]. Optional: each key says its own, or it is
	// what a key of its type can.
	Algorithms []string `yaml:"algorithms"`
	// Cookie is the cookie that carries its tokens. Optional: they come as Bearer tokens only.
	Cookie string `yaml:"cookie"`
	// Header is the header in which a proxy before the gateway sends its tokens, as Cf-Access-Jwt-Assertion. Only tokens of this
	// issuer count there, by their signature alone: whoever reaches the gateway can send one. It counts as a cookie (CSRF
	// protection), before the cookies; where it and another credential are of two people, the request is refused. Backends
	// are not sent it, unless identity_headers_pass names it. Optional.
	Header TokenHeader `yaml:"header"`
	// Claims names the claims to read. Roles are taken only where `roles` is named; naming `user` says that its user names
	// are ours.
	Claims Claims `yaml:"claims"`
	// RoleMap has the role that one of theirs gives here, such as { "/admins": admin }, or "drop" where it gives none. A role
	// that stands on the right is given by this map alone. Optional.
	RoleMap map[string]string `yaml:"role_map"`
	// RolesUnmapped says what becomes of the other roles: "keep" (they count as the issuer spells them, percent-encoded in
	// headers), "drop", or "slug" (they count in lower case, with hyphens, and not where two of a token would be one).
	// Optional: keep.
	RolesUnmapped string `yaml:"roles_unmapped"`

	// CAPEM is what CA holds.
	CAPEM string `yaml:"-"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (i *Issuer) SetDefaults() { i.RolesUnmapped = "keep" }

func (i *Issuer) isSet(key string) bool { return isSet(i.Places, key) }

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
