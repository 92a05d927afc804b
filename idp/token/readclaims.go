package token

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
		authTime:  r.time("auth_time", i.requires("auth_time")),
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
