package token

import "time"

// readClaims makes Claims of a payload by the issuer's rules. Nothing is believed
// before the signature is checked; what is judged here is shape alone.
func (i *issuer) readClaims(payload object) (*Claims, error) {
	if err := i.checkClaimNames(payload); err != nil {
		return nil, err
	}
	r := &claimReader{object: payload}
	c := &Claims{
		issuer:    i,
		audience:  r.audiences(),
		session:   r.text("sid", i.requires("sid"), checkIdentifier),
		id:        r.text("jti", i.requires("jti"), checkIdentifier),
		authTime:  i.authTime(r),
		issuedAt:  r.time("iat", true),
		notBefore: r.time("nbf", i.requires("nbf")),
		expires:   r.time("exp", true),
	}
	if c.authTime.After(c.issuedAt.Add(leeway)) {
		r.fail("auth_time", errAfterIAT)
	}
	if i.strict {
		i.readOurs(r, c)
	} else {
		i.readForeign(r, c)
	}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// authTime reads when the person signed in. AD FS writes it as a text in its access tokens (RFC 3339).
func (i *issuer) authTime(r *claimReader) time.Time {
	if v, ok := r.get("auth_time"); ok && v.kind == kindString && !i.strict {
		if t, err := time.Parse(time.RFC3339, v.text); err == nil {
			return t.Truncate(time.Second)
		}
	}
	return r.time("auth_time", i.requires("auth_time"))
}

// readOurs reads what vilogate signs itself, where every claim is as we write it.
func (i *issuer) readOurs(r *claimReader, c *Claims) {
	c.subject = r.text(i.claimSubject, true, i.checkSubject)
	c.user = r.text(i.claimUser, true, i.checkUser)
	c.email = r.text(i.claimEmail, i.requires("email"), checkEmail)
	c.emailVerified = i.Own
	c.name = r.text(i.claimName, i.requires("name"), checkName)
	c.amr = r.list("amr", i.requires("amr"))
	r.fail("amr", checkAMR(c.amr))
	roles, err := i.checkRoles(c.subject, r.list(i.claimRoles, i.requires("roles")))
	r.fail(i.claimRoles, err)
	c.roles, c.forwardedRoles = roles, roles
}

// checkClaimNames refuses a claim that a case-insensitive parser would take for one
// that counts here.
func (i *issuer) checkClaimNames(o object) error { return checkCaseVariants(o, i.claimNames) }
