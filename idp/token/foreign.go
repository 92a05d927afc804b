package token

import "strings"

// readForeign reads the claims of another issuer, which has habits of its own. What
// decides must be good: who it is, and the address that policies ask for. What is
// shown is cleaned, and what cannot be read of the rest is as good as absent.
func (i *issuer) readForeign(r *claimReader, c *Claims) {
	subject := r.digits(i.claimSubject)
	if subject == "" {
		subject = r.text(i.claimSubject, true, i.checkSubject)
	}
	c.subject = i.prefix + subject
	if i.ClaimUser != "" { // configured: its user names are ours
		if c.user = r.digits(i.claimUser); c.user == "" {
			c.user = r.text(i.claimUser, true, i.checkUser)
		}
	} else {
		c.user = i.prefix + r.shown(i.claimUser, subject)
	}
	c.email = r.email(i.claimEmail)
	c.emailVerified = i.claimEmail == "email" && r.emailVerified()
	if v, ok := r.get(i.claimName); ok && v.kind == kindString {
		c.name = clean(v.text, maxName)
	}
	if v, ok := r.get("amr"); ok {
		c.amr = v.methods()
	}
	roles := i.roles.read(r.object)
	c.roles, c.forwardedRoles, c.findings = roles.all, roles.forwarded, roles.findings
	if len(i.ClientIDs) > 0 {
		c.clients = r.clients()
	}
}

// digits reads a subject or user name that is a number as its digits: one that every reader
// takes for the same integer. Any other value gives none.
func (r *claimReader) digits(name string) string {
	v, ok := r.get(name)
	if !ok || v.kind != kindNumber || len(v.text) > maxDigits || strings.ContainsAny(v.text, "-.eE") {
		return ""
	}
	return v.text
}

// shown reads a user name, which is somebody's who is the subject all the same:
// where there is none, or none that can be shown, it is the subject itself.
func (r *claimReader) shown(name, subject string) string {
	if v, ok := r.get(name); ok && v.kind == kindString && checkForeign(v.text) == nil {
		return v.text
	}
	return subject
}

// email reads an address, or the first of a list of them.
func (r *claimReader) email(name string) string {
	v, ok := r.get(name)
	if !ok || v.kind != kindArray {
		return r.text(name, false, checkEmail)
	}
	if len(v.list) == 0 {
		return ""
	}
	if v.list[0].kind != kindString {
		r.fail(name, errType)
		return ""
	}
	r.fail(name, checkEmail(v.list[0].text))
	return v.list[0].text
}

// emailVerified reads the issuer's word for its claim email: true, or "true", as
// some write it; never of a list.
func (r *claimReader) emailVerified() bool {
	email, _ := r.get("email")
	verified, _ := r.get("email_verified")
	return email.kind == kindString && verified.text == "true" && (verified.kind == kindBool || verified.kind == kindString)
}

// methods reads amr: a list of methods (RFC 8176), of objects that name one, or one
// method alone.
func (v value) methods() []string {
	list := v.list
	if v.kind == kindString {
		list = []value{v}
	}
	var methods []string
	for _, e := range list {
		if e.kind == kindObject {
			e, _ = e.members.get("method")
		}
		if e.kind == kindString && checkIdentifier(e.text) == nil && len(methods) < maxAMR {
			methods = append(methods, e.text)
		}
	}
	return methods
}
