package config

import (
	"maps"
	"slices"

	"github.com/viloforge/vilogate/idp/token/names"
)

// minSecret is the shortest secret that is shared with an issuer, in bytes.
const minSecret = 32

// checkSecrets judges what signs the tokens of an issuer, secrets or keys that it publishes, and reports whether that is
// right.
func (c *checker) checkSecrets(i *Issuer) bool {
	before := len(c.errs)
	at := i.Places.Of("secret")
	if i.isSet("secrets") {
		at = i.Places.Of("secrets")
	}
	switch {
	case i.isSet("secret") && i.isSet("secrets"):
		c.errorf(at, "an issuer has either `secret` or `secrets`")
	case i.isShared() && i.isSet("jwks"):
		c.errorf(i.Places.Of("jwks"), "an issuer has either `secret` or published keys")
	case i.isShared() && i.isSet("keys"):
		c.errorf(i.Places.Of("keys"), "an issuer has either `secret` or `keys`")
	case i.isSet("secrets") && len(i.Secrets) == 0:
		c.errorf(at, "the list of secrets is empty")
	}
	for number, secret := range i.SharedSecrets() {
		switch {
		case secret == "": // not known
		case len(secret) < minSecret:
			c.errorf(at, "the secret has %d bytes, it needs at least %d: whoever guesses it is everybody", len(secret), minSecret)
		case slices.Index(i.SharedSecrets(), secret) < number:
			c.errorf(at, "one secret stands in the list twice")
		}
	}
	return len(c.errs) == before
}

// publicAlgorithms are those of published keys.
var publicAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// checkAudience judges whom the tokens of an issuer must be for.
func (c *checker) checkAudience(i *Issuer) {
	at := i.Places.Of("audience")
	if !i.isSet("audience") {
		at = i.Places.Of("")
	}
	switch {
	case i.WithoutAudience() && len(i.ClientIDs) == 0:
		c.errorf(at, "with `audience: none`, an issuer needs `client_ids`: else its tokens for anybody would be believed here")
	case !i.WithoutAudience() && i.isSet("client_ids"):
		c.errorf(i.Places.Of("client_ids"), "`client_ids` goes with `audience: none`: where tokens name their audience, that alone says whom they are for")
	case i.WithoutAudience() || len(i.Audience) > 0:
	case i.isShared() && i.isSet("issuer"):
		c.errorf(i.Places.Of("audience"), "with `issuer`, an issuer needs `audience`: else its tokens for anybody would be believed here")
	case !i.isShared() && i.isSet("issuer"):
		c.errorf(i.Places.Of(""), "an issuer needs `audience`: else its tokens for anybody would be believed here")
	}
}

// checkRoles judges where the roles of an issuer's tokens are, and what becomes of them.
func (c *checker) checkRoles(i *Issuer) {
	claims := i.Claims.Places
	if !isSet(claims, "roles") {
		for key, at := range map[string]bool{"role_map": i.isSet("role_map"), "roles_unmapped": i.isSet("roles_unmapped")} {
			if at {
				c.errorf(i.Places.Of(key), "`%s` is about the roles of the tokens; name the claim that has them: claims: { roles: groups }", key)
			}
		}
		if isSet(claims, "delimiter") {
			c.errorf(claims.Of("delimiter"), "`delimiter` divides a text with roles; name the claim that has them: roles: groups")
		}
	}
	c.oneOf(i.Places.Of("roles_unmapped"), "roles_unmapped", i.RolesUnmapped, "keep", "drop", "slug")
	for _, theirs := range slices.Sorted(maps.Keys(i.RoleMap)) {
		switch ours := i.RoleMap[theirs]; {
		case theirs == "":
			c.errorf(i.Places.Of("role_map"), "a role of theirs is empty")
		case ours != "" && !names.IsRole(ours):
			c.errorf(i.Places.Of("role_map"), "%q for %q is no role of ours; one is at most %d of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit", ours, theirs, names.MaxRole)
		}
	}
}
