package generation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

const fieldsConfig = `
domain: viloforge.test
certificates: { source: local }
idp: {}
drain: { delay: 1s, timeout: 2s }
tokens:
  issuers:
    - name: legacy
      issuer: https://legacy.example
      audience: [us]
      secret: 0123456789abcdef0123456789abcdef
      algorithm: HS256
      cookie: jwt
      header: X-Edge-Login
      claims: { user: username, email: mail, name: full, roles: [groups], delimiter: "," }
      role_map: { theirs: ours }
      roles_unmapped: keep
    - name: rotating
      issuer: https://rotating.example
      audience: none
      client_ids: [client1]
      secrets: [abcdef0123456789abcdef0123456789]
    - { name: partner, issuer: "https://id.partner.example", jwks: "https://id.partner.example/keys", audience: [us], algorithms: [ES256], ca: one.pem }
    - { name: adfs, issuer: "http://fs.corp.example/trust", keys: one.json, audience: [us] }
upstreams:
  app: { url: "http://127.0.0.1:1", concurrency: 10, connections: 5, queue: { length: 20, timeout: 7s }, breaker: { failures: 9, open: 12s }, timeout: 3s, keepalive: 4s, tcp_keepalive: 40s, websocket_ping: 50s, affinity: user, retry: on, eject: { consecutive_5xx: 5 }, health: { path: /up, interval: 9s, timeout: 3s, healthy: 2, unhealthy: 2, status: 200, host: up.example }, identity_headers: x-user, odd_headers: drop, identity_headers_pass: [X-WebAuth-User] }
  two: { urls: [ { url: "http://127.0.0.1:2", weight: 2 }, "http://two.invalid:80" ], resolve: 20s, resolver: "127.0.0.1:53", slow_start: 5s, forward_token: partner, buffer: { disk: 3MiB, request: 1MiB, response: 1MiB, unknown: false } }
  four: { url: "http://127.0.0.1:8", proxy_protocol: v2 }
  three: { url: "https://127.0.0.1:9", tls: { roots: one.pem, name: one.example, certificate: gateway1.pem, key: gateway1.key } }
policies: policies/
`

// applied is a change of each key that a reload takes over: what stands in fieldsConfig, and what in its place.
var applied = map[string][2]string{
	"drain.delay":                       {"delay: 1s", "delay: 4s"},
	"drain.timeout":                     {"timeout: 2s", "timeout: 4s"},
	"tokens.issuers[].name":             {"- name: legacy", "- name: older"},
	"tokens.issuers[].issuer":           {"https://legacy.example", "https://older.example"},
	"tokens.issuers[].jwks":             {"example/keys", "example/other-keys"},
	"tokens.issuers[].audience[]":       {"audience: [us]\n", "audience: [them]\n"},
	"tokens.issuers[].secret":           {"secret: 0", "secret: 1"},
	"tokens.issuers[].algorithm":        {"HS256", "HS512"},
	"tokens.issuers[].cookie":           {"cookie: jwt", "cookie: other"},
	"tokens.issuers[].header":           {"header: X-Edge-Login", "header: X-Other-Login"},
	"tokens.issuers[].claims.user":      {"user: username", "user: login"},
	"tokens.issuers[].claims.email":     {"email: mail", "email: address"},
	"tokens.issuers[].claims.name":      {"name: full", "name: nickname"},
	"tokens.issuers[].claims.roles[]":   {"roles: [groups]", "roles: [teams]"},
	"tokens.issuers[].claims.delimiter": {"delimiter: \",\"", "delimiter: \";\""},
	"tokens.issuers[].role_map{}":       {"theirs: ours", "theirs: hers"},
	"tokens.issuers[].roles_unmapped":   {"roles_unmapped: keep", "roles_unmapped: drop"},
	"tokens.issuers[].algorithms[]":     {"[ES256]", "[RS256]"},
	"tokens.issuers[].client_ids[]":     {"[client1]", "[client2]"},
	"tokens.issuers[].secrets[]":        {"[abc", "[abd"},
	"upstreams{}.url":                   {"http://127.0.0.1:1", "http://127.0.0.1:3"},
	"upstreams{}.urls[].url":            {"http://127.0.0.1:2", "http://127.0.0.1:4"},
	"upstreams{}.urls[].weight":         {"weight: 2", "weight: 3"},
	"upstreams{}.slow_start":            {"slow_start: 5s", "slow_start: 6s"},
	"upstreams{}.breaker.failures":      {"failures: 9", "failures: 8"},
	"upstreams{}.breaker.open":          {"open: 12s", "open: 13s"},
	"upstreams{}.resolve":               {"resolve: 20s", "resolve: 21s"},
	"upstreams{}.resolver":              {"resolver: \"127.0.0.1:53\"", "resolver: \"127.0.0.1:54\""},
	"upstreams{}.concurrency":           {"concurrency: 10", "concurrency: 11"},
	"upstreams{}.connections":           {"connections: 5", "connections: 6"},
	"upstreams{}.queue.length":          {"length: 20", "length: 21"},
	"upstreams{}.queue.timeout":         {"timeout: 7s", "timeout: 8s"},
	"upstreams{}.buffer.disk":           {"disk: 3MiB", "disk: 4MiB"},
	"upstreams{}.buffer.request":        {", request: 1MiB", ", request: 2MiB"},
	"upstreams{}.buffer.response":       {"response: 1MiB", "response: 2MiB"},
	"upstreams{}.buffer.unknown":        {"unknown: false", "unknown: true"},
	"upstreams{}.tls.roots":             {"roots: one.pem", "roots: two.pem"},
	"upstreams{}.tls.name":              {"name: one.example", "name: two.example"},
	"upstreams{}.tls.certificate":       {"gateway1.pem", "gateway2.pem"},
	"upstreams{}.tls.key":               {"gateway1.key", "gateway2.key"},
	"upstreams{}.timeout":               {"timeout: 3s, keep", "timeout: 4s, keep"},
	"upstreams{}.keepalive":             {"keepalive: 4s", "keepalive: off"},
	"upstreams{}.tcp_keepalive":         {"tcp_keepalive: 40s", "tcp_keepalive: 41s"},
	"upstreams{}.websocket_ping":        {"websocket_ping: 50s", "websocket_ping: 51s"},
	"upstreams{}.affinity":              {"affinity: user", "affinity: cookie"},
	"upstreams{}.proxy_protocol":        {"proxy_protocol: v2", "proxy_protocol: v1"},
	"upstreams{}.retry":                 {"retry: on", "retry: off"},
	"upstreams{}.eject.consecutive_5xx": {"consecutive_5xx: 5", "consecutive_5xx: 6"},
	"upstreams{}.health.path":           {"path: /up", "path: /down"},
	"upstreams{}.health.interval":       {"interval: 9s", "interval: 8s"},
	"upstreams{}.health.timeout":        {"timeout: 3s, healthy", "timeout: 4s, healthy"},
	"upstreams{}.health.healthy":        {" healthy: 2", " healthy: 3"},
	"upstreams{}.health.unhealthy":      {"unhealthy: 2", "unhealthy: 3"},
	"upstreams{}.health.status.from":    {"status: 200", "status: 200-299"},
	"upstreams{}.health.status.to":      {"status: 200", "status: 200-299"},
	"upstreams{}.health.host":           {"host: up", "host: other"},
	"upstreams{}.identity_headers":      {"identity_headers: x-user", "identity_headers: remote-user"},
	"upstreams{}.forward_token":         {"forward_token: partner", "forward_token: legacy"},
	"upstreams{}.odd_headers":           {"odd_headers: drop", "odd_headers: pass"},
	"tokens.issuers[].keys.file":        {"keys: one.json", "keys: two.json"},
	"tokens.issuers[].keys.set":         {"keys: one.json", `keys: [ { kty: EC, crv: P-256, kid: three, x: okIyGN5XGLuB66cnpBT_yTv-kYgTJ1hcJAmBsGJ28aY, y: adDfufkDWi5M9le9jpQOivaYS3Rra0lm81m1UDtyaxM } ]`},
	"tokens.issuers[].ca":               {"ca: one.pem", "ca: two.pem"},

	"upstreams{}.identity_headers_pass[]": {"X-WebAuth-User", "X-WebAuth-Email"},
}

// Every key of the configuration is either marked, and then a reload that changes it is refused, or it is not, and then the
// reload serves by what it says now. No key is accepted and ignored.
func TestEveryKeyIsAppliedByAReloadOrTakesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	build := func(text string, before *Generation) (*Generation, error) {
		read := func(path string) ([]byte, error) {
			if path == filepath.Join(dir, "vilogate.yaml") {
				return []byte(text), nil
			}
			return os.ReadFile(path)
		}
		cfg, err := config.Load(filepath.Join(dir, "vilogate.yaml"), config.Sources{Getenv: func(string) string { return "" }, ReadFile: read})
		if err != nil {
			return nil, err
		}
		b := Builder{
			PublicPort: 443, OwnKeys: jwks.Static(nil), Login: http.NotFoundHandler(),
			Revoked: func(*token.Claims) bool { return false }, Log: slog.New(slog.DiscardHandler),
		}
		if before != nil {
			if err := config.CheckReload(before.Config, cfg); err != nil {
				return nil, err
			}
		}
		return b.Build(cfg, before)
	}
	policy := "host: app.viloforge.test\nupstream: app\nroutes: [ { path: /x, allow: public } ]\n"
	if err := os.MkdirAll(filepath.Join(dir, "policies"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policies", "app.yaml"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	writeKeyFiles(t, dir)
	before, err := build(fieldsConfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(shown(before), "ann@x.example") {
		t.Fatalf("the token is not believed: %s", shown(before))
	}
	if same, err := build("# moved down\n"+fieldsConfig, before); err != nil || shown(same) != shown(before) || len(same.Changes(before)) > 0 {
		t.Fatalf("a reload of the same changes something: %v", err)
	}
	restart := 0
	for _, path := range keys() {
		was, is := populated("", nil), populated(path, change)
		if err := config.CheckReload(was, is); err != nil {
			key := path[:strings.IndexAny(path+".", ".[{")]
			if want := "`" + key + "` has changed, which takes a restart"; !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %s", path, err, want)
			}
			if _, ok := applied[path]; ok {
				t.Errorf("%s takes a restart, and is applied all the same", path)
			}
			restart++
			continue
		}
		edit, ok := applied[path]
		if !ok || !strings.Contains(fieldsConfig, edit[0]) {
			t.Errorf("%s takes no restart, and nothing shows that a reload applies it: it has no change in applied, of what stands in fieldsConfig", path)
			continue
		}
		after, err := build(strings.Replace(fieldsConfig, edit[0], edit[1], 1), before)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if shown(after) == shown(before) {
			t.Errorf("%s: a reload does not apply it", path)
		}
		if len(after.Changes(before)) == 0 {
			t.Errorf("%s: a reload does not say that it changed", path)
		}
	}
	if restart < 30 {
		t.Errorf("only %d keys take a restart", restart)
	}
}

// writeKeyFiles writes what issuers name in fieldsConfig, and other files of the same kinds.
func writeKeyFiles(t *testing.T, dir string) {
	t.Helper()
	ca, err := os.ReadFile("../../config/testdata/good/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"one.pem": ca, "two.pem": append(bytes.Clone(ca), ca...)}
	for _, name := range []string{"one", "two"} {
		key, err := token.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		files[name+".json"] = []byte(strings.Replace(string(token.MarshalSet([]token.PublicKey{key.Public()})), key.ID(), name, 1))
	}
	for name, data := range clientCertificate(t) {
		files[name] = data
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// clientCertificate is a certificate of the gateway's own and its key, in two spellings.
func clientCertificate(t *testing.T) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"gateway1.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		"gateway1.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
	files["gateway2.pem"] = append([]byte("renewed\n"), files["gateway1.pem"]...)
	files["gateway2.key"] = append([]byte("renewed\n"), files["gateway1.key"]...)
	return files
}

// shown is what a generation serves by, apart from its policies.
func shown(gen *Generation) string {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": "https://legacy.example", "aud": "us", "sub": "7", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"username": "ann", "login": "annie", "mail": "ann@x.example", "address": "annie@x.example",
		"full": "Ann", "nickname": "Annie", "groups": "a,theirs", "teams": []string{"b"},
	}
	rotating := jwt.MapClaims{"iss": "https://rotating.example", "client_id": "client1", "sub": "8", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	who, err := verified(gen, claims, "0123456789abcdef0123456789abcdef", now)
	other, otherErr := verified(gen, rotating, "abcdef0123456789abcdef0123456789", now)
	partner, partnerErr := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://id.partner.example", "aud": "us", "sub": "9", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}).SigningString()
	if partnerErr == nil { // signed by nobody: how far it comes is what counts
		_, partnerErr = gen.Verifier.Verify(partner+"."+strings.Repeat("A", 86), now)
	}
	err = errors.Join(err, otherErr, partnerErr)
	who += other
	return fmt.Sprintln(knowsKey(gen, "http://fs.corp.example/trust", "one"), gen.Config.Drain, gen.Gateway.Upstreams, gen.Gateway.Cookies, gen.Gateway.TokenHeaders, slices.Sorted(maps.Keys(gen.Remotes)), who, err)
}

// knowsKey says what becomes of a token that a key of that id has not signed.
func knowsKey(gen *Generation, issuer, kid string) error {
	now := time.Now()
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": issuer, "aud": "us", "sub": "7", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	unsigned.Header["kid"] = kid
	raw, err := unsigned.SignedString([]byte("x"))
	if err == nil {
		_, err = gen.Verifier.Verify(raw, now)
	}
	return err
}

// verified is who a token is of.
func verified(gen *Generation, claims jwt.MapClaims, secret string, now time.Time) (string, error) {
	raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		return "", err
	}
	c, err := gen.Verifier.Verify(raw, now)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(c.IssuerName(), c.Subject(), c.User(), c.Email(), c.Name(), c.Roles()), nil
}

// keys are the paths of all keys of a configuration that hold a value.
func keys() (all []string) {
	populated("", func(path string, _ reflect.Value) { all = append(all, path) })
	return all
}

// populated is a configuration in which everything is there once. visit, if it is not nil, is called with the value at the
// path, or with all where the path is "".
func populated(path string, visit func(string, reflect.Value)) *config.Config {
	c := &config.Config{}
	walk(reflect.ValueOf(c).Elem(), "", func(at string, v reflect.Value) {
		if visit != nil && (path == "" || path == at) {
			visit(at, v)
		}
	})
	return c
}

func walk(v reflect.Value, path string, visit func(string, reflect.Value)) {
	switch {
	case v.Type() == reflect.TypeFor[strictyaml.Places](), v.Type().Size() == 0: // no value, or one that is not supported yet
	case v.Type() == reflect.TypeFor[config.Network]():
		visit(path, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		walk(v.Elem(), path, visit)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		walk(v.Index(0), path+"[]", visit)
	case v.Kind() == reflect.Map:
		element := reflect.New(v.Type().Elem()).Elem()
		walk(element, path+"{}", visit)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), element)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			if key == "" {
				key = strings.ToLower(field.Name)
			}
			if key != "-" {
				walk(v.Field(i), strings.TrimPrefix(path+"."+key, "."), visit)
			}
		}
	default:
		visit(path, v)
	}
}

// change gives v another value.
func change(_ string, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[config.Network]():
		v.Set(reflect.ValueOf(config.Network{Prefix: netip.MustParsePrefix("192.0.2.0/24")}))
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "x")
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	}
}
