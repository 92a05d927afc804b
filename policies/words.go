package policies

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/idp/token/names"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// words are the texts of a list that any one of may hold, each checked. An empty one could never hold.
func (c *compiler) words(at strictyaml.Place, key string, list []word, check func(word)) []string {
	if len(list) == 0 {
		c.errorf(at, "the list of %s is empty, so that nobody would be allowed; write allow: deny if that is meant", key)
	}
	texts := make([]string, 0, len(list))
	for _, w := range list {
		if slices.Contains(texts, w.text) {
			c.errorf(w.at, "%q stands in the list twice", w.text)
		}
		check(w)
		texts = append(texts, w.text)
	}
	return texts
}

// checkRole takes a role of ours, or one as another issuer has it, where some issuer's count so.
func (c *compiler) checkRole(w word) {
	foreign := c.o.ForeignRoles || c.o.Standalone
	switch {
	case names.IsRole(w.text), foreign && names.IsForeign(w.text):
	case foreign:
		c.errorf(w.at, "a role is a text of at most %d bytes, without control and direction characters; found %q", names.MaxForeign, w.text)
	default:
		c.errorf(w.at, "a role is at most 64 of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit; found %q", w.text)
	}
}

// checkUser takes a user name: of another issuer as that issuer has it, with its name and a colon before it.
func (c *compiler) checkUser(w word) {
	issuer, name, foreign := strings.Cut(w.text, ":")
	if foreign {
		c.checkKnown(word{issuer, w.at}, "issuer", c.o.Issuers)
	} else {
		name = w.text
	}
	switch {
	case foreign && names.IsForeign(name):
	case foreign && name != "":
		c.errorf(w.at, "a user name of another issuer is a text of at most %d bytes, without control and direction characters; found %q", names.MaxForeign, w.text)
	case !names.IsForeignUser(name):
		c.errorf(w.at, "a user name is at most 150 letters, digits and . _ @ + -, found %q", w.text)
	}
}

func (c *compiler) checkIssuer(w word) { c.checkKnown(w, "issuer", c.o.Issuers) }

// checkDomain takes the domain of e-mail addresses, in lower case.
func (c *compiler) checkDomain(w word) {
	host, err := request.ParseHost(w.text)
	switch {
	case strings.Contains(w.text, "@"):
		c.errorf(w.at, "an e-mail domain is what stands behind the @, found %q", w.text)
	case err != nil:
		c.errorf(w.at, "%v, found %q", err, w.text)
	case string(host) != w.text:
		c.errorf(w.at, "an e-mail domain is written in lower case, found %q", w.text)
	}
}

// checkAMR takes a name of a method of authentication: a word of RFC 8176, or what else an issuer says.
func (c *compiler) checkAMR(w word) {
	if w.text == "" || strings.IndexFunc(w.text, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		c.errorf(w.at, `an authentication method is a word such as pwd, otp, hwk or mfa (RFC 8176), found %q`, w.text)
	}
}

// placeOf is where a list begins, as far as its first word tells.
func placeOf(otherwise strictyaml.Place, list []word) strictyaml.Place {
	if len(list) > 0 {
		return list[0].at
	}
	return otherwise
}

// knownMethods are what a method that is spelt wrongly was probably meant to be.
var knownMethods = []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

func (c *compiler) methods(at strictyaml.Place, list []word) []string {
	if len(list) == 0 {
		c.errorf(at, "the list of methods is empty; leave it out for every method")
	}
	methods := []string{}
	for i, w := range list {
		near := strictyaml.Nearest(w.text, knownMethods)
		if request.IsKnownMethod(w.text) {
			near = ""
		}
		upper := strings.ToUpper(w.text)
		switch {
		case w.text == "CONNECT" || w.text == "TRACE" || w.text == "TRACK" || w.text == "PRI" || w.text == "*":
			c.errorf(w.at, "%s is never forwarded", w.text)
		case near != "" && near != w.text:
			c.errorf(w.at, "unknown method %q, did you mean %q?", w.text, near)
		case request.IsToken(w.text) && w.text != upper:
			c.errorf(w.at, "a method is written in capital letters, as requests have to have it: %s, found %q", upper, w.text)
		case !request.IsToken(w.text):
			c.errorf(w.at, "a method is one word in capital letters, found %q", w.text)
		case slices.ContainsFunc(list[:i], func(other word) bool { return other.text == w.text }):
			c.errorf(w.at, "%s stands in the list twice", w.text)
		}
		methods = append(methods, w.text)
		if w.text == "GET" {
			methods = append(methods, "HEAD")
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}
