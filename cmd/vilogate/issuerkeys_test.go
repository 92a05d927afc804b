package main_test

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const keysPolicy = `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public }
  - { path: "/optional", allow: optional }
  - { path: "/*rest", allow: authenticated }
`

// foreignToken is a token of an issuer, for "us", signed by s.
func foreignToken(s signer, iss string, header claims) string {
	now, changed := time.Now(), claims{"typ": "JWT"}
	maps.Copy(changed, header)
	return s.sign(s.header(changed), claims{"iss": iss, "aud": "us", "sub": "p-1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}.json())
}

// keySets publishes key sets by path over TLS, with a CA of its own.
type keySets struct {
	*httptest.Server
	sets    sync.Map // path to http.HandlerFunc
	fetches atomic.Int32
}

func publishTLS(t *testing.T) *keySets {
	t.Helper()
	k := &keySets{}
	k.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.fetches.Add(1)
		if answer, ok := k.sets.Load(r.URL.Path); ok {
			answer.(http.HandlerFunc)(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	k.Config.ErrorLog = log.New(io.Discard, "", 0) // who does not trust it hangs up
	k.StartTLS()
	t.Cleanup(k.Close)
	return k
}

func (k *keySets) publish(path string, keys ...string) {
	k.answer(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(keys, ",")) })
}

func (k *keySets) answer(path string, f http.HandlerFunc) { k.sets.Store(path, f) }

func (k *keySets) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw}))
}

// connectProxy is a proxy that knows CONNECT, and leads every name to one address.
func connectProxy(t *testing.T, to string) (url string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	listener := listenLoopback(t)
	var tunnels sync.WaitGroup
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		tunnels.Wait()
	})
	tunnels.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			tunnels.Go(func() {
				defer closeQuietly(t, client)
				reader := bufio.NewReader(client)
				r, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				mu.Lock()
				seen = append(seen, r.Method+" "+r.Host)
				mu.Unlock()
				server, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer closeQuietly(t, server)
				if _, err := io.WriteString(client, "HTTP/1.1 200 connected\r\n\r\n"); err != nil {
					return
				}
				tunnels.Go(func() {
					_, _ = io.Copy(server, reader) // until one of them is closed
					closeQuietly(t, server)
				})
				_, _ = io.Copy(client, server)
			})
		}
	})
	return "http://" + listener.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), seen...)
	}
}

// TestKeysOfIssuersAreFetchedAsTheNetworkHasIt: by a private CA, through the proxy that the environment names, by way of a
// redirect, and not where the proxy is not to be asked.
func TestKeysOfIssuersAreFetchedAsTheNetworkHasIt(t *testing.T) {
	t.Parallel()
	backend, keys, key := record(t), publishTLS(t), newSigner(t)
	proxy, asked := connectProxy(t, strings.TrimPrefix(keys.URL, "https://"))
	keys.answer("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"issuer":"https://example.com","jwks_uri":"https://keys.example.com/keys"}`)
	})
	keys.publish("/keys", key.jwk())
	for from, to := range map[string]string{"/moved": "/keys", "/twice": "/moved", "/clear": "http://" + freeAddress(t) + "/keys"} {
		keys.answer(from, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
	}
	s := prepare(t, map[string]string{
		"policies/app.yaml": keysPolicy, "ca.pem": keys.ca(),
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
tokens:
  issuers:
    - { name: discovered, issuer: "https://example.com", audience: [us], ca: ca.pem }
    - { name: adfs, issuer: "http://fs.corp.test/adfs/services/trust", audience: [us], ca: ca.pem, jwks: "%[1]s/keys" }
    - { name: unproxied, issuer: "urn:unproxied", audience: [us], ca: ca.pem, jwks: "https://direct.example.com/keys" }
    - { name: moved, issuer: "urn:moved", audience: [us], ca: ca.pem, jwks: "%[1]s/moved" }
    - { name: twice, issuer: "urn:twice", audience: [us], ca: ca.pem, jwks: "%[1]s/twice" }
    - { name: clear, issuer: "urn:clear", audience: [us], ca: ca.pem, jwks: "%[1]s/clear" }
    - { name: stranger, issuer: "urn:stranger", audience: [us], jwks: "%[1]s/keys" }
upstreams: { app: { url: %[2]q } }
`, keys.URL, backend.url()),
	})
	s.more = []string{"HTTPS_PROXY=" + proxy, "NO_PROXY=direct.example.com"}
	s.start()
	ask := func(iss string) int {
		return s.http2(t, request{host: appHost, target: "/x", header: []string{bearer(foreignToken(key, iss, nil))}}).status
	}
	for _, iss := range []string{"https://example.com", "http://fs.corp.test/adfs/services/trust", "urn:moved"} {
		eventually(t, iss+" is believed", func() bool { return ask(iss) == http.StatusOK })
	}
	for name, why := range map[string]string{
		"twice": "redirected a second time", "clear": "only https to https is followed", "stranger": "certificate signed by unknown authority",
		"unproxied": "direct.example.com",
	} {
		eventually(t, "the log says why the keys of "+name+" are not here", func() bool {
			for line := range strings.Lines(s.output.String()) {
				if strings.Contains(line, "JWKS fetch failed") && strings.Contains(line, name) && strings.Contains(line, why) {
					return true
				}
			}
			return false
		})
		if got := ask("urn:" + name); got != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", name, got)
		}
	}
	through := strings.Join(asked(), ", ")
	if !strings.Contains(through, "CONNECT example.com:443") || !strings.Contains(through, "CONNECT keys.example.com:443") || strings.Contains(through, "direct") || strings.Contains(through, "127.0.0.1") {
		t.Errorf("the proxy was asked for %s", through)
	}
}

// TestARotatedKeyIsNoBadToken: while its issuer is asked, a token with a new kid is 503, and its cookie stays; it is 401 when
// the issuer does not know it either.
func TestARotatedKeyIsNoBadToken(t *testing.T) {
	t.Parallel()
	backend, keys, before, stranger := record(t), publishTLS(t), newSigner(t), newSigner(t)
	keys.publish("/keys", before.jwk())
	s := serve(t, map[string]string{
		"policies/app.yaml": keysPolicy, "ca.pem": keys.ca(),
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
login: { url: "https://login.example.com/" }
tokens: { issuers: [ { name: partner, issuer: "https://id.partner.test", audience: [us], jwks: "%s/keys", ca: ca.pem, cookie: partner-sso } ] }
upstreams: { app: { url: %q } }
`, keys.URL, backend.url()),
	})
	signed := func(by signer) string { return foreignToken(by, "https://id.partner.test", nil) }
	ask := func(target, line string) answer {
		return s.http1(t, request{host: appHost, target: target, header: []string{line, "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}})
	}
	eventually(t, "the first key is known", func() bool { return ask("/x", bearer(signed(before))).status == http.StatusOK })
	var after signer
	var fetched int32
	var refused map[string]answer
	probe := backend.probe(t)
	eventually(t, "all is asked before the issuer is", func() bool { // again, with another key, where 30 s have passed
		after = newSigner(t)
		keys.publish("/keys", before.jwk(), after.jwk())
		fetched, refused = keys.fetches.Load(), map[string]answer{}
		backend.forget(probe)
		for name, line := range map[string]string{"bearer": bearer(signed(after)), "cookie": "Cookie: partner-sso=" + signed(after)} {
			for _, p := range protocols() {
				for _, target := range []string{"/x", "/optional"} {
					refused[p.name+", "+name+", "+target] = p.send(s, t, request{host: appHost, target: target, header: []string{probe.header(), line}})
				}
				if got := p.send(s, t, request{host: appHost, target: "/public/x", header: []string{probe.header(), line}}); got.status != http.StatusOK {
					t.Errorf("%s, %s: a public route: %v", p.name, name, got)
				}
			}
		}
		refused["a navigation"] = ask("/x", "Cookie: partner-sso="+signed(after))
		if keys.fetches.Load() == fetched {
			return true
		}
		eventually(t, "the key is known", func() bool { return ask("/x", bearer(signed(after))).status == http.StatusOK })
		return false
	})
	for name, got := range refused {
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("Location") != "" || len(got.header.Values("Set-Cookie")) != 0 {
			t.Errorf("%s: got %v, want 503 with Retry-After", name, got)
		}
	}
	all := backend.with(probe.mark)
	if len(all) != 4 {
		t.Errorf("%d requests arrived, want those of the public route alone", len(all))
	}
	for _, seen := range all {
		assertAnonymous(t, seen)
		if strings.Contains(seen.head, "eyJ") || !strings.Contains(seen.head, " /public/x ") {
			t.Errorf("the backend received:\n%s", seen.head)
		}
	}
	if got := ask("/x", bearer(signed(before))); got.status != http.StatusOK {
		t.Errorf("the key before: %v", got)
	}
	for {
		status := ask("/x", bearer(signed(after))).status
		if status == http.StatusOK {
			break
		}
		if status != http.StatusServiceUnavailable {
			t.Fatalf("a good token is %d", status)
		}
		<-time.After(100 * time.Millisecond)
	}
	if n := keys.fetches.Load() - fetched; n != 1 {
		t.Errorf("%d fetches", n)
	}
	// The stranger's kid is asked for once, with the patience of one fetch.
	if got := ask("/x", bearer(signed(stranger))); got.status != http.StatusServiceUnavailable {
		t.Errorf("a kid that nobody was asked for: %v", got)
	}
	eventually(t, "the stranger's kid is unknown", func() bool { return ask("/x", bearer(signed(stranger))).status == http.StatusUnauthorized })
	if got := ask("/x", "Cookie: partner-sso="+signed(stranger)); got.status != http.StatusFound {
		t.Errorf("a navigation with a cookie of an unknown key: %v", got)
	}
	metrics := s.admin(t, "/metrics").body
	for _, want := range []string{
		`vilogate_jwks_unknown_kids_total{answer="pending",issuer="partner"} `, `vilogate_jwks_unknown_kids_total{answer="unknown",issuer="partner"} `,
		`vilogate_jwks_keys{issuer="partner"} 2`, `vilogate_refused_cookies_total{issuer="partner",reason="key-pending"} `,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	if !strings.Contains(s.output.String(), `"msg":"JWKS refresh for unknown kids"`) {
		t.Error("the log has no word of it")
	}
}

// TestKeysInAFile: an issuer that is no address, with its keys beside the configuration; a reload reads them again.
func TestKeysInAFile(t *testing.T) {
	t.Parallel()
	backend, one, two := record(t), newSigner(t), newSigner(t)
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	s := serve(t, map[string]string{
		"policies/app.yaml": keysPolicy, "adfs.json": set(one.jwk(), `{"kty":"RSA","kid":"e","use":"enc","n":"AQAB","e":"AQAB"}`),
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
tokens: { issuers: [ { name: adfs, issuer: "http://fs.corp.test/adfs/services/trust", audience: [us], keys: adfs.json } ] }
upstreams: { app: { url: %q } }
`, backend.url()),
	})
	ask := func(by signer) int {
		raw := foreignToken(by, "http://fs.corp.test/adfs/services/trust", nil)
		return s.http2(t, request{host: appHost, target: "/x", header: []string{bearer(raw)}}).status
	}
	const unused = `adfs.json: key 2 (kid "e") is not used: unusable for signatures here: its use is "enc"`
	if got := [2]int{ask(one), ask(two)}; got != [2]int{200, 401} {
		t.Errorf("before: %v", got)
	}
	if said := strings.ReplaceAll(s.output.String(), `\"`, `"`); !strings.Contains(said, unused) {
		t.Errorf("the log does not say which key is not used:\n%s", said)
	}
	if _, said, err := s.command("", "check", "-c", filepath.Join(s.dir, "vilogate.yaml")); err != nil || !strings.Contains(said, "warning: ") || !strings.Contains(said, unused) {
		t.Errorf("check: %v, %s", err, said)
	}
	writeFiles(t, s.dir, map[string]string{"adfs.json": set(two.jwk())})
	if said := s.must("", "reload", "--state", s.state); !strings.Contains(said, "tokens.issuers changed") {
		t.Errorf("reload: %s", said)
	}
	if got := [2]int{ask(one), ask(two)}; got != [2]int{401, 200} {
		t.Errorf("after: %v", got)
	}
	private := strings.Replace(one.jwk(), "{", `{"d":"AAAA",`, 1)
	writeFiles(t, s.dir, map[string]string{"adfs.json": set(private, one.jwk())})
	if _, said, err := s.command("", "reload", "--state", s.state); err == nil || !strings.Contains(said, "vilogate.yaml:10:") || !strings.Contains(said, "only public keys belong here") {
		t.Errorf("reload took a private key: %v, %s", err, said)
	}
	if got := [2]int{ask(one), ask(two)}; got != [2]int{401, 200} {
		t.Errorf("after a bad reload: %v", got)
	}
}

// TestWhoSendsTokensWithoutAKidPaysForThem: each key of the issuer's is tried for such a token, at the expense of the address
// that it comes from; tokens that name their key, and other addresses, go on.
func TestWhoSendsTokensWithoutAKidPaysForThem(t *testing.T) {
	t.Parallel()
	backend, keys, first, second, stranger := record(t), publishTLS(t), newSigner(t), newSigner(t), newSigner(t)
	keys.publish("/keys", first.jwk(), second.jwk())
	s := serve(t, map[string]string{
		"policies/app.yaml": keysPolicy, "ca.pem": keys.ca(),
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
trusted_proxies: [127.0.0.1]
tokens: { issuers: [ { name: partner, issuer: "https://id.partner.test", audience: [us], jwks: "%s/keys", ca: ca.pem, cookie: partner-sso } ] }
upstreams: { app: { url: %q } }
`, keys.URL, backend.url()),
	})
	const iss = "https://id.partner.test"
	ask := func(target, address, line string) int {
		return s.http2(t, request{host: appHost, target: target, header: []string{"X-Forwarded-For: " + address, line}}).status
	}
	eventually(t, "the keys are known", func() bool { return ask("/x", "192.0.2.1", bearer(foreignToken(first, iss, nil))) == http.StatusOK })
	conn := s.handshake(t, s.tls(appHost, "http/1.1"))
	reader := bufio.NewReader(conn)
	counted := map[int]int{}
	tryInVain := func() { // a hundred tokens
		var requests strings.Builder
		for range 100 {
			raw := foreignToken(stranger, iss, claims{"kid": nil})
			requests.WriteString(request{host: appHost, target: "/x", header: []string{"X-Forwarded-For: 192.0.2.66", bearer(raw)}}.text())
		}
		if _, err := io.WriteString(conn, requests.String()); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			got := readAnswer(t, reader, http.MethodGet)
			counted[got.status]++
			if got.status == http.StatusTooManyRequests && got.header.Get("Retry-After") == "" {
				t.Fatalf("got %v", got)
			}
		}
	}
	for range 4 {
		tryInVain()
	}
	if counted[http.StatusUnauthorized] < 300 || counted[http.StatusTooManyRequests] == 0 || len(counted) != 2 {
		t.Errorf("the answers are %v, want 401 some 300 times, then 429", counted)
	}
	bare := foreignToken(second, iss, claims{"kid": nil})
	for name, c := range map[string]struct {
		address, target, line string
		want                  int
	}{
		"another address":            {"192.0.2.1", "/x", bearer(bare), http.StatusOK},
		"the same, the first key":    {"192.0.2.66", "/x", bearer(foreignToken(first, iss, claims{"kid": nil})), http.StatusOK},
		"the same, with a kid":       {"192.0.2.66", "/x", bearer(foreignToken(second, iss, nil)), http.StatusOK},
		"the same, to a public page": {"192.0.2.66", "/public/x", bearer(foreignToken(second, iss, claims{"kid": nil, "x": 3})), http.StatusOK},
	} {
		if got := ask(c.target, c.address, c.line); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	fresh := 0
	for name, prefix := range map[string]string{"the same, the second key": "Authorization: Bearer ", "the same, in a cookie": "Cookie: partner-sso="} {
		eventually(t, name+" is 429", func() bool { // a slow machine lets time pass, and with it another key
			tryInVain()
			fresh++
			return ask("/x", "192.0.2.66", prefix+foreignToken(second, iss, claims{"kid": nil, "x": fresh})) == http.StatusTooManyRequests
		})
	}
	if got := ask("/x", "192.0.2.66", bearer(bare)); got != http.StatusOK {
		t.Errorf("a token that was good before: %d", got)
	}
	_, tries, _ := strings.Cut(s.admin(t, "/metrics").body, "\nvilogate_token_key_tries_total ")
	tries, _, _ = strings.Cut(tries, "\n")
	if n, err := strconv.Atoi(tries); err != nil || n < counted[http.StatusUnauthorized] {
		t.Errorf("%q tries are counted, of %d in vain", tries, counted[http.StatusUnauthorized])
	}
}
