package main_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// shapeSecrets are what stands for ${…} in idp/token/README.md.
var shapeSecrets = map[string]string{
	"${OLD_SIGNING_KEY}": "the key with which Django signed before", "${SIGNING_KEY}": "the key with which Django signs now, for ever",
	"${JWT_SECRET}": "the secret of the guide, of 32 bytes or more",
}

// shapeSite is a gateway configured as idp/token/README.md says, whose issuers are all in the hands of the test.
type shapeSite struct {
	*site
	backend      *recorder
	configs      map[string]map[string]any // of the issuers, by name
	rsa, other   *rsa.PrivateKey           // the issuers', and a stranger's
	elliptic, ec signer                    // likewise
	keys         *httptest.Server
}

func newShapeSite(t *testing.T) shapeSite {
	t.Helper()
	x := shapeSite{backend: record(t), elliptic: newSigner(t), ec: newSigner(t), configs: map[string]map[string]any{}}
	for _, key := range []**rsa.PrivateKey{&x.rsa, &x.other} {
		var err error
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	sets := map[string]string{}
	for _, s := range shapes {
		if sets["/"+s.issuer] == "" || s.keys != "" {
			sets["/"+s.issuer] = x.keySet(s)
		}
	}
	x.keys = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, sets[r.URL.Path]) }))
	t.Cleanup(x.keys.Close)
	issuers := documentedIssuers(t)
	for _, issuer := range issuers {
		name := issuer["name"].(string)
		if issuer["secret"] == nil && issuer["secrets"] == nil {
			issuer["jwks"] = x.keys.URL + "/" + name
		}
		x.configs[name] = issuer
	}
	text, err := yaml.Marshal(map[string]any{"tokens": map[string]any{"issuers": issuers}})
	if err != nil {
		t.Fatal(err)
	}
	x.site = serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", x.backend.url()) + string(text),
		"policies/app.yaml": attackedPolicy,
	})
	return x
}

// documentedIssuers are the blocks of idp/token/README.md that go into tokens.issuers.
func documentedIssuers(t *testing.T) (all []map[string]any) {
	t.Helper()
	text, err := os.ReadFile("../../idp/token/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(- name:.*?)```").FindAllSubmatch(text, -1) {
		config := string(block[1])
		for variable, secret := range shapeSecrets {
			config = strings.ReplaceAll(config, variable, secret)
		}
		var issuers []map[string]any
		if err := yaml.Unmarshal([]byte(config), &issuers); err != nil {
			t.Fatalf("%v in\n%s", err, config)
		}
		all = append(all, issuers...)
	}
	return all
}

// keySet is what the issuer of a shape publishes.
func (x shapeSite) keySet(s shape) string {
	n, e := encode(x.rsa.N.Bytes()), encode(big.NewInt(int64(x.rsa.E)).Bytes())
	key := claims{"kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256", "n": n, "e": e, "x5t": "r1", "x5c": []string{"MIIB"}}
	if s.noAlg {
		key = key.with(claims{"alg": nil})
	}
	set := key.json()
	if s.alg == "ES256" {
		set = x.elliptic.jwk()
	}
	if s.keys != "" {
		set = s.keys + "," + set
	}
	return `{"keys":[` + set + `]}`
}

// header is the header of a token of the shape.
func (x shapeSite) header(s shape) claims {
	h := claims{"alg": "RS256", "kid": "r1", "typ": s.typ}
	switch s.alg {
	case "ES256":
		h = h.with(claims{"alg": "ES256", "kid": x.elliptic.kid})
	case "HS256":
		h = h.with(claims{"alg": "HS256", "kid": nil})
	}
	return h.with(s.header).with(claims{"typ": s.typ})
}

// claims are those of a good token of the shape.
func (x shapeSite) claims(s shape) claims {
	config, now := x.configs[s.issuer], time.Now()
	c := claims{"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if iss, ok := config["issuer"]; ok {
		c["iss"] = iss
	}
	if audiences, ok := config["audience"].([]any); ok {
		c["aud"] = audiences[0]
	}
	return c.with(s.claims)
}

// secret is the one of a shape, and the newest.
func (x shapeSite) secret(s shape) string {
	config := x.configs[s.issuer]
	if list, ok := config["secrets"].([]any); ok {
		return list[len(list)-1].(string)
	}
	secret, _ := config["secret"].(string)
	return secret
}

// sign signs any header and any claims as the issuer of a shape does; strange, as somebody else would.
func (x shapeSite) sign(t testing.TB, s shape, header, claims string, strange bool) string {
	t.Helper()
	switch {
	case s.alg == "HS256" && strange:
		return hs(crypto.SHA256, []byte("a secret of somebody else, of 32 bytes or so"), header, claims)
	case s.alg == "HS256":
		return hs(crypto.SHA256, []byte(x.secret(s)), header, claims)
	case s.alg == "ES256" && strange:
		return x.ec.sign(header, claims)
	case s.alg == "ES256":
		return x.elliptic.sign(header, claims)
	}
	key, input := x.rsa, encode([]byte(header))+"."+encode([]byte(claims))
	if strange {
		key = x.other
	}
	digest := crypto.SHA256.New()
	digest.Write([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + encode(signature)
}

// token is a good token of the shape, with some changes.
func (x shapeSite) token(t testing.TB, s shape, header, changes claims) string {
	t.Helper()
	return x.sign(t, s, x.header(s).with(header).json(), x.claims(s).with(changes).json(), false)
}

// prefixed is JSON that a map cannot hold: the object with a member before the others.
func prefixed(object claims, member string) string {
	return strings.Replace(object.json(), "{", "{"+member+",", 1)
}
