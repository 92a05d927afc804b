package token

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/idp/token/names"
)

// OwnIssuer is the name of our own IdP among the issuers. Nobody else may have it.
const OwnIssuer = "vilogate"

const (
	typeAccess    = "at+jwt"
	typeAssertion = "vilogate-assertion+jwt"
	typeSession   = "vilogate-session+jwt"
	minSecret     = 32
)

// IssuerConfig is one issuer whose tokens count.
type IssuerConfig struct {
	// Name is the issuer's name in the configuration, [a-z0-9][a-z0-9._-]*. It
	// goes before its subjects and, unless ClaimUser is set, its user names.
	Name string

	// ISS is what its tokens say in iss, compared byte for byte. Empty for the
	// one issuer with a Secret whose tokens do not name their issuer.
	ISS string

	// Audiences: a token must be for one of them. Required, but for an issuer
	// without ISS or with ClientIDs; with none, a token that names an audience is for
	// somebody else.
	Audiences []string

	// ClientIDs are whose tokens count that name no audience: client_id and azp, one
	// of which a token must have, must be among them. Then a token of type at+jwt,
	// which would have an audience (RFC 9068, section 2.2), is refused. Optional.
	ClientIDs []string

	// Keys are the issuer's public keys. Either Keys or Secret.
	Keys KeySource

	// Secret is shared with the issuer: at least 32 bytes.
	Secret []byte

	// Secrets are several, in place of Secret: any of them may have signed.
	Secrets [][]byte

	// Algorithm goes with Secret: HS256 (the default), HS384 or HS512. With Keys
	// the key says it.
	Algorithm string

	// Algorithms are by which Keys may have signed. Optional: those that each key says,
	// or its type is for.
	Algorithms []string

	// Cookie is the cookie in which the issuer's tokens come. Optional.
	Cookie string

	// ClaimUser names the claim with the user name, and says that these names
	// are ours: they stand without the issuer's name before them. For an issuer
	// without ISS it is the subject as well. Optional: preferred_username, or
	// the subject where a token has none, both after the issuer's name.
	ClaimUser string

	// ClaimEmail and ClaimName are email and name unless set. Of a list of
	// addresses the first counts.
	ClaimEmail, ClaimName string

	// ClaimRoles names the claim with the roles: its whole name or, where a token has
	// none of that name, a dotted path to it. Optional: without it, and without
	// Roles.Path, no roles.
	ClaimRoles string

	// Roles says more of the roles.
	Roles RolesConfig

	// Own marks our own IdP, whose Name is OwnIssuer: ES256 alone, every claim required.
	Own bool
}

// issuer is a checked IssuerConfig.
type issuer struct {
	IssuerConfig

	// types are the typ headers accepted; the empty string stands for none.
	types []string

	// strict is for what vilogate signs itself: ES256, exactly the header that
	// we write, subject and user name as they stand, roles that are all good.
	strict       bool
	required     []string           // claims that must be there, besides sub, iat and exp
	checkSubject func(string) error // what a subject must be
	checkUser    func(string) error // what a user name of ours must be
	checkRoles   func(subject string, roles []string) ([]string, error)
	prefix       string    // before the subject
	claimNames   []string  // of every claim that counts
	roles        roleRules // of another issuer's tokens
	secrets      [][]byte  // any of which may have signed; empty with Keys

	claimSubject, claimUser, claimEmail, claimName, claimRoles string

	session *issuer // our own IdP as it tells gateways of sessions; nil for others
}

func newIssuer(c IssuerConfig) (*issuer, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("token: issuer %q: %w", c.Name, err)
	}
	roles, err := newRoleRules(c.ClaimRoles, c.Roles)
	if err != nil {
		return nil, fmt.Errorf("token: issuer %q: %w", c.Name, err)
	}
	i := &issuer{
		IssuerConfig: c,
		types:        []string{"JWT", typeAccess, ""},
		checkSubject: checkForeign,
		checkUser:    checkForeignUser,
		prefix:       c.Name + ":",
		claimSubject: "sub",
		claimUser:    cmp.Or(c.ClaimUser, "preferred_username"),
		claimEmail:   cmp.Or(c.ClaimEmail, "email"),
		claimName:    cmp.Or(c.ClaimName, "name"),
		roles:        roles,
		secrets:      c.secrets(),
	}
	if len(c.ClientIDs) > 0 {
		i.types = []string{"JWT", ""}
	}
	switch {
	case c.Own:
		i.setStrict(typeAccess, checkIdentifier, checkOwnUser,
			"nbf", "jti", "sid", "amr", "auth_time", "preferred_username", "name", "email", "roles")
		session := *i
		session.types = []string{typeSession}
		session.listClaimNames()
		i.session = &session
	case c.ISS == "" && c.ClaimUser != "":
		i.claimSubject = c.ClaimUser
	}
	if len(i.secrets) > 0 {
		i.Algorithm = cmp.Or(c.Algorithm, "HS256")
	}
	i.listClaimNames()
	return i, nil
}

// assertionIssuer is a gateway as a backend sees it.
func assertionIssuer(iss, audience string, keys KeySource) *issuer {
	i := &issuer{IssuerConfig: IssuerConfig{ISS: iss, Audiences: []string{audience}, Keys: keys}}
	i.setStrict(typeAssertion, checkAssertedSubject, checkAssertedUser, "preferred_username", "roles")
	i.checkRoles = assertedRoles
	i.listClaimNames()
	return i
}

// setStrict sets the rules for tokens that vilogate signs itself.
func (i *issuer) setStrict(typ string, checkSubject, checkUser func(string) error, required ...string) {
	i.types, i.strict, i.required, i.prefix = []string{typ}, true, required, ""
	i.checkSubject, i.checkUser = checkSubject, checkUser
	i.checkRoles = func(_ string, roles []string) ([]string, error) { return strictRoles(roles) }
	i.claimSubject, i.claimUser, i.claimEmail, i.claimName, i.claimRoles = "sub", "preferred_username", "email", "name", "roles"
}

func (i *issuer) listClaimNames() {
	i.claimNames = []string{
		"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "amr", "auth_time",
		i.claimUser, i.claimEmail, i.claimName,
	}
	switch {
	case i.claimRoles != "":
		i.claimNames = append(i.claimNames, i.claimRoles)
	case i.roles.any():
		i.claimNames = append(i.claimNames, i.roles.topNames()...)
	}
	if len(i.ClientIDs) > 0 {
		i.claimNames = append(i.claimNames, clientClaims...)
	}
}

func (i *issuer) requires(claim string) bool { return slices.Contains(i.required, claim) }

func (c *IssuerConfig) check() error {
	switch {
	case !names.IsIssuer(c.Name):
		return fmt.Errorf("the name must be [a-z0-9][a-z0-9._-]*, at most %d characters", names.MaxIssuer)
	case c.Own != (c.Name == OwnIssuer):
		return errors.New("the name " + OwnIssuer + " is our own IdP's, and only its")
	case (c.Keys == nil) == (len(c.secrets()) == 0), c.Secret != nil && c.Secrets != nil:
		return errors.New("either keys or a secret")
	case c.Own && (c.Keys == nil || c.ISS == ""):
		return errors.New("our own IdP has keys and an iss")
	case c.Own && (c.ClaimUser+c.ClaimEmail+c.ClaimName+c.ClaimRoles != "" || c.Roles.Path != nil || c.ClientIDs != nil):
		return errors.New("our own IdP's claims are fixed")
	case c.ISS == "" && c.Keys != nil:
		return errors.New("an iss is required unless there is a shared secret")
	case c.ISS != "" && len(c.Audiences) == 0 && len(c.ClientIDs) == 0:
		return errors.New("at least one audience is required")
	case len(c.Audiences) > 0 && len(c.ClientIDs) > 0:
		return errors.New("either audiences or the clients of tokens without one")
	case slices.Contains(c.Audiences, ""):
		return errors.New("an audience is empty")
	case slices.Contains(c.ClientIDs, ""):
		return errors.New("a client is empty")
	}
	return c.checkAlgorithm()
}

// secrets are copies of Secret or Secrets.
func (c *IssuerConfig) secrets() (secrets [][]byte) {
	if c.Secret != nil {
		return [][]byte{slices.Clone(c.Secret)}
	}
	for _, s := range c.Secrets {
		secrets = append(secrets, slices.Clone(s))
	}
	return secrets
}

func (c *IssuerConfig) checkAlgorithm() error {
	switch {
	case c.Keys != nil && c.Algorithm != "":
		return errors.New("an algorithm goes with a secret; a key says its own")
	case c.Keys != nil:
		for _, algorithm := range c.Algorithms {
			if !isPublicAlgorithm(algorithm) {
				return fmt.Errorf("the algorithm %q is none of published keys", algorithm)
			}
		}
		return nil
	case c.Algorithms != nil:
		return errors.New("several algorithms go with keys")
	case slices.ContainsFunc(c.secrets(), func(s []byte) bool { return len(s) < minSecret }):
		return fmt.Errorf("the secret is shorter than %d bytes", minSecret)
	case !slices.Contains([]string{"", "HS256", "HS384", "HS512"}, c.Algorithm):
		return fmt.Errorf("the algorithm %q is none of HS256, HS384, HS512", c.Algorithm)
	}
	return nil
}

// tryKeys asks the issuer's source for the keys that a token with this kid may be
// signed with, and tries each until one fits. It reports whether one did.
func (i *issuer) tryKeys(kid string, now time.Time, fits func(PublicKey) bool) (bool, error) {
	var err error
	if set, ok := i.Keys.(KeySet); ok {
		var keys []PublicKey
		if keys, err = set.Keys(kid, now); err == nil {
			if slices.ContainsFunc(keys, fits) {
				return true, nil
			}
			err = set.KeyNotFound(kid)
		}
		if err == nil {
			return false, nil
		}
	} else {
		var key PublicKey
		if key, err = i.Keys.Key(kid, now); err == nil {
			return !key.IsZero() && fits(key), nil
		}
	}
	if errors.Is(err, ErrKeysNotLoaded) {
		return false, err
	}
	return false, fmt.Errorf("%w: %w", errInvalid, err)
}

// header is what a token's header may say that counts.
type header struct {
	algorithm string
	typ       string
	kid       string
}

var headerNames = []string{"alg", "typ", "kid", "crit", "b64", "enc", "zip"}

// readHeader judges a header. What an extension would change is refused, since
// none is understood here: crit and b64 (RFC 7515, RFC 7797), enc and zip
// (RFC 7516). What says where a key is (jwk, jku, x5u, x5c) is not read at all:
// the key comes from the configured source alone, or there is none.
func (i *issuer) readHeader(o object) (header, error) {
	if err := checkCaseVariants(o, headerNames); err != nil {
		return header{}, err
	}
	for _, m := range o {
		switch m.name {
		case "crit", "b64", "enc", "zip":
			return header{}, errExtension
		case "alg", "typ", "kid":
		default:
			if i.strict {
				return header{}, errExtension
			}
		}
	}
	r := claimReader{object: o}
	h := header{
		algorithm: r.text("alg", true, checkIdentifier),
		typ:       r.text("typ", i.strict, checkIdentifier),
		kid:       r.text("kid", i.strict, checkIdentifier),
	}
	if r.err != nil {
		return header{}, r.err
	}
	if !i.acceptsType(h.typ) {
		return header{}, errWrongType
	}
	return h, nil
}

// acceptsType compares a typ as a media type: without regard to case, with or
// without "application/" (RFC 7515, 4.1.9). What we sign ourselves has one spelling.
func (i *issuer) acceptsType(typ string) bool {
	if i.strict {
		return slices.Contains(i.types, typ)
	}
	bare := bareType(typ)
	return slices.ContainsFunc(i.types, func(t string) bool { return bareType(t) == bare })
}

func bareType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}
