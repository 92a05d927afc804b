package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/edge/acme/acmetest"
	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// authorityConfig is a gateway whose certificates come from the authority of a world.
func authorityConfig(w *acmetest.World, backend, more string) map[string]string {
	config := strings.Replace(serveConfig, `certificates: { source: local, names: ["viloforge.test", "*.viloforge.test"] }`, fmt.Sprintf(`certificates:
  source: cloudflare
  email: ops@viloforge.test
  api_token: %q
  api_base: %q
  ca: %q
  ca_roots: %q
  dns: { resolvers: [%q], propagation_timeout: 20s }
`, acmetest.Token, w.Cloudflare.URL, w.Directory, w.RootsFile, w.Zones.Address), 1)
	if !strings.Contains(more, "\nlogin:") {
		config += ownIdP
	}
	policy := "host: %s\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n"
	return map[string]string{
		"vilogate.yaml":     config + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend) + more,
		"policies/app.yaml": attackedPolicy, "policies/apex.yaml": fmt.Sprintf(policy, "viloforge.test"),
		"policies/deep.yaml": fmt.Sprintf(policy, "a.b.viloforge.test"),
	}
}

// handshakeState completes a TLS handshake with a site and returns the connection state.
func (s *site) handshakeState(config *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", s.at.HTTPS, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	state := conn.ConnectionState()
	return state, conn.Close()
}

// serial is the serial number of the certificate for a name.
func (s *site) serial(tb testing.TB, roots *x509.CertPool, name string) string {
	tb.Helper()
	state, err := s.handshakeState(&tls.Config{RootCAs: roots, ServerName: name})
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return fmt.Sprintf("%x", state.PeerCertificates[0].SerialNumber)
}

// certificateRow is an element of what `cert status --json` prints.
type certificateRow struct {
	Name        string
	Names       []string
	Issuer      string
	Serial      string
	NotAfter    time.Time `json:"not_after"`
	NextAttempt time.Time `json:"next_attempt"`
	Failures    int
	LastError   string `json:"last_error"`
	Stored      string
}

func (s *site) certificates(arguments ...string) (rows []certificateRow) {
	s.tb.Helper()
	out := s.must("", append([]string{"cert", "status", "--json", "--state", s.state}, arguments...)...)
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		s.tb.Fatalf("cert status: %v in %s", err, out)
	}
	return rows
}

// TestCertificatesFromAnAuthority: apex and one label are served to every kind of client, two labels are not; commands,
// readiness and metrics tell how the certificates are; one is renewed without a restart, and a restart orders nothing.
func TestCertificatesFromAnAuthority(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	s := prepare(t, authorityConfig(w, record(t).url(), ""))
	s.start()
	eventually(t, "the gateway is ready", func() bool { return s.admin(t, "/readyz").status == http.StatusOK })
	s.roots = w.Roots()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range []string{"http/1.1", "h2"} {
			for name, good := range map[string]bool{"viloforge.test": true, "app.viloforge.test": true, "a.b.viloforge.test": false, "viloforge.example": false} {
				state, err := s.handshakeState(&tls.Config{RootCAs: s.roots, ServerName: name, MinVersion: version, MaxVersion: version, NextProtos: []string{protocol}})
				if (err == nil) != good || good && (state.NegotiatedProtocol != protocol || len(state.VerifiedChains[0]) != 3) {
					t.Errorf("%s, %s, %s: %v", tls.VersionName(version), protocol, name, err)
				}
			}
		}
	}
	if got := s.http2(t, request{host: "app.viloforge.test", target: "/public/x"}); got.status == 0 || got.status == http.StatusMisdirectedRequest {
		t.Errorf("through the gateway: %v", got)
	}
	rows := s.certificates()
	for i, name := range []string{"viloforge.test", "*.viloforge.test"} {
		r := rows[i]
		if r.Name != name || r.Names[0] != name || r.Serial != s.serial(t, s.roots, strings.Replace(name, "*", "app", 1)) || !strings.Contains(r.Issuer, "Pebble") ||
			r.NextAttempt.Before(time.Now()) || r.NextAttempt.After(r.NotAfter) || r.Failures != 0 || r.LastError != "" || r.Stored != filepath.Join(s.state, "certificates") {
			t.Errorf("cert status: %+v", r)
		}
	}
	if out := s.must("", "cert", "status", "--state", s.state); !strings.Contains(out, "NEXT RENEWAL") || !strings.Contains(out, rows[1].Serial) {
		t.Errorf("cert status: %s", out)
	}
	metrics := s.admin(t, "/metrics").body
	for _, line := range []string{
		`vilogate_certificate_consecutive_failures{name="*.viloforge.test"} 0`, `vilogate_ready{part="certificate_renewal"} 1`, `vilogate_ready{part="certificate"} 1`,
		`vilogate_certificate_not_after_timestamp_seconds{name="viloforge.test"} `, "vilogate_certificate_earliest_expiry_timestamp_seconds 1.",
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	s.must("", "cert", "renew", "*.viloforge.test", "--state", s.state)
	if got := s.serial(t, s.roots, "app.viloforge.test"); got == rows[1].Serial {
		t.Error("the certificate was not renewed")
	}
	if got := s.serial(t, s.roots, "viloforge.test"); got != rows[0].Serial {
		t.Error("another certificate was renewed, too")
	}
	if _, stderr, err := s.command("", "cert", "renew", "other.test", "--state", s.state); err == nil || !strings.Contains(stderr, "no certificate is configured for other.test") {
		t.Errorf("a name that nobody configured: %v, %s", err, stderr)
	}
	rows = s.certificates()
	if err := s.terminate(syscall.SIGTERM); err != nil {
		t.Errorf("ended with %v", err)
	}
	if again := s.certificates(); len(again) != 2 || again[0].Serial != rows[0].Serial {
		t.Errorf("cert status without a server: %+v", again)
	}
	w.Stop() // what is stored is served while the authority is away
	s.start()
	for i, name := range []string{"viloforge.test", "app.viloforge.test"} {
		if got := s.serial(t, s.roots, name); got != rows[i].Serial {
			t.Errorf("after a restart, %s has another certificate", name)
		}
	}
	if w.Orders() != 3 || w.Accounts() != 1 {
		t.Errorf("%d orders and %d accounts, want 3 and 1", w.Orders(), w.Accounts())
	}
	if left := w.Zones.TXT(); len(left) > 0 {
		t.Errorf("TXT records are left: %v", left)
	}
	for _, said := range []string{s.output.String(), metrics, s.admin(t, "/status").body} {
		if strings.Contains(said, acmetest.Token) || strings.Contains(said, "PRIVATE") {
			t.Error("a secret was said")
		}
	}
}

// TestTwentyKills: a process that is killed again and again while it obtains its first certificate ends up with one order.
func TestTwentyKills(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	files := authorityConfig(w, record(t).url(), "")
	files["vilogate.yaml"] = strings.Replace(files["vilogate.yaml"], "  source: cloudflare\n", "  source: cloudflare\n  names: [\"*.viloforge.test\"]\n", 1)
	s := prepare(t, files)
	asked := func() int { return strings.Count(w.Log(), "calling handler()") + w.Cloudflare.Requests() }
	for i := range 20 {
		before := asked()
		s.spawn()
		// Each time a little later in the work, which takes some thirty requests.
		eventually(t, "the process works, or has nothing to do", func() bool {
			return asked() >= before+1+i || readyLine.MatchString(s.output.String())
		})
		// Not while the answer to the one request is on its way that makes an order: an order that nobody was told of is lost.
		s.signal(syscall.SIGSTOP)
		last, quiet := asked(), 0
		eventually(t, "the authority has nothing more to do", func() bool {
			now := asked()
			if quiet++; now != last {
				last, quiet = now, 0
			}
			return quiet > 50
		})
		if w.Orders() > 0 && !s.knowsOrder() {
			s.signal(syscall.SIGCONT)
			eventually(t, "the order is written down", s.knowsOrder)
		}
		s.kill()
	}
	s.start()
	eventually(t, "the gateway is ready", func() bool { return s.admin(t, "/readyz").status == http.StatusOK })
	eventually(t, "the TXT records are gone", func() bool { return len(w.Zones.TXT()) == 0 })
	s.serial(t, w.Roots(), "app.viloforge.test")
	if w.Orders() != 1 || w.Accounts() != 1 {
		t.Errorf("%d orders and %d accounts, want 1 and 1", w.Orders(), w.Accounts())
	}
}

// knowsOrder reports whether the site has an order written down, or is done with it.
func (s *site) knowsOrder() bool {
	orders, err := filepath.Glob(filepath.Join(s.state, "certificates", "orders", "*", "*.json"))
	if err != nil || len(orders) == 0 {
		return err == nil
	}
	data, err := os.ReadFile(orders[0])
	return err == nil && strings.Contains(string(data), `"order":"https://`)
}

// TestTheAuthorityComesBack: without a certificate the gateway says so, keeps trying, and begins to serve by itself.
func TestTheAuthorityComesBack(t *testing.T) {
	t.Parallel()
	z := acmetest.NewZones(t, "viloforge.test")
	w := &acmetest.World{Pebble: acmetest.PreparePebble(t, z.Address, acmetest.PebbleOptions{}), Zones: z, Cloudflare: acmetest.NewCloudflare(t, z)}
	s := prepare(t, authorityConfig(w, record(t).url(), ""))
	s.startUnready()
	eventually(t, "readyz says why there is no certificate", func() bool {
		got := s.admin(t, "/readyz")
		return got.status == http.StatusServiceUnavailable && strings.Contains(got.body, "no certificate for viloforge.test yet") && strings.Contains(got.body, "connection refused")
	})
	if rows := s.certificates(); rows[0].Failures == 0 || !strings.Contains(rows[0].LastError, "is it reachable from here") {
		t.Errorf("cert status: %+v", rows[0])
	}
	if metrics := s.admin(t, "/metrics").body; !strings.Contains(metrics, `vilogate_ready{part="certificate"} 0`) {
		t.Error("metrics do not say that there is no certificate")
	}
	if _, stderr, err := s.command("", "cert", "renew", "--state", s.state); err == nil || !strings.Contains(stderr, "asking the authority for its directory") {
		t.Errorf("cert renew: %v, %s", err, stderr)
	}
	if s.saidReady() {
		t.Error("it says ready without a certificate")
	}
	w.Start()
	eventually(t, "the gateway is ready", func() bool { return s.admin(t, "/readyz").status == http.StatusOK })
	eventually(t, "it says so", s.saidReady)
	s.serial(t, w.Roots(), "app.viloforge.test")
}

// certificateFleet is what gateways of a fleet add to their configuration.
func certificateFleet(redis string) string {
	return fmt.Sprintf("redis: %q\n%slogin: { url: \"https://login.viloforge.test/\" }\ntokens: { issuers: [ { name: legacy, secret: \"0123456789abcdef0123456789abcdef\", cookie: jwt, claims: { user: username } } ] }\n", redis, fleetSecret)
}

// TestTwoGatewaysOneCertificate: gateways that start together obtain one certificate a name between them, clients resume at
// either, nothing in Redis is a private key, and whoever holds the lock and dies blocks the other for its lease only.
func TestTwoGatewaysOneCertificate(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	redis := redistest.New(t)
	more := "\n" + certificateFleet(redis.URL())
	sites := []*site{prepare(t, authorityConfig(w, record(t).url(), more)), prepare(t, authorityConfig(w, record(t).url(), more))}
	w.Zones.HideTXT(true)
	for _, s := range sites {
		s.spawn()
	}
	eventually(t, "one of them has written its record", func() bool { return len(w.Zones.TXT()) == 1 })
	// Whoever began is killed with the lock in its hand; the other goes on with its very order.
	holder, other := sites[0], sites[1]
	if strings.Contains(other.output.String(), "obtaining") && !strings.Contains(holder.output.String(), "obtaining") {
		holder, other = other, holder
	}
	holder.kill()
	w.Zones.HideTXT(false)
	begun := time.Now()
	eventually(t, "the addresses are written", func() bool { _, err := os.Stat(filepath.Join(other.state, "addresses.json")); return err == nil })
	other.readAddresses()
	eventually(t, "the other one is ready", func() bool { return other.admin(t, "/readyz").status == http.StatusOK })
	t.Logf("the other gateway had both certificates %v after the kill", time.Since(begun))
	holder.start()
	eventually(t, "the killed one is ready", func() bool { return holder.admin(t, "/readyz").status == http.StatusOK })
	roots := w.Roots()
	for _, name := range []string{"viloforge.test", "app.viloforge.test"} {
		if holder.serial(t, roots, name) != other.serial(t, roots, name) {
			t.Errorf("%s has two certificates", name)
		}
	}
	if w.Orders() != 2 || w.Accounts() != 1 {
		t.Errorf("%d orders and %d accounts, want 2 and 1", w.Orders(), w.Accounts())
	}
	if dump := redisDump(t, redis); strings.Contains(dump, "PRIVATE") || strings.Contains(dump, "CERTIFICATE") {
		t.Error("Redis holds a key that can be read")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{
			RootCAs: roots, ServerName: "app.viloforge.test", MinVersion: version, MaxVersion: version, NextProtos: []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		for i, s := range []*site{holder, other, holder} {
			if resumed := s.resumesSession(t, config); resumed != (i > 0) {
				t.Errorf("%s, connection %d: resumed %v", tls.VersionName(version), i, resumed)
			}
		}
	}
}

// resumesSession sends one request and reports whether its connection resumed a TLS session.
func (s *site) resumesSession(tb testing.TB, config *tls.Config) bool {
	tb.Helper()
	conn, err := tls.Dial("tcp", s.at.HTTPS, config)
	if err != nil {
		tb.Fatal(err)
	}
	defer closeQuietly(tb, conn)
	if _, err := fmt.Fprintf(conn, "GET /public/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", config.ServerName); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "closed") {
		tb.Logf("reading: %v", err)
	}
	return conn.ConnectionState().DidResume
}

// redisDump is all that a Redis keeps of certificates, as whoever steals it sees it.
func redisDump(tb testing.TB, redis *redistest.Server) string {
	tb.Helper()
	out := fmt.Sprint(redis.Do("HGETALL", "vilogate:{fleet}:certificates"))
	if len(out) < 1000 {
		tb.Fatalf("HGETALL: %d bytes", len(out))
	}
	return out
}

// TestDevWithACertificateOfItsOwn: `cert dev` obtains the wildcard of a project, and dev serves it.
func TestDevWithACertificateOfItsOwn(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	s := prepare(t, nil)
	s.token = acmetest.Token
	arguments := []string{"cert", "dev", "--project", "shop", "--zone", "viloforge.test", "--ca", w.Directory, "--ca-roots", w.RootsFile, "--api-base", w.Cloudflare.URL, "--resolver", w.Zones.Address, "--state", s.state}
	out := s.must("", arguments...)
	for _, part := range []string{"*.shop.viloforge.test", "make dev DOMAIN=shop.viloforge.test", "127.0.0.1 shop.viloforge.test website.shop.viloforge.test login.shop", "Pebble"} {
		if !strings.Contains(out, part) {
			t.Errorf("cert dev does not say %q:\n%s", part, out)
		}
	}
	s.must("", arguments...) // it is there already
	if w.Orders() != 2 {
		t.Errorf("%d orders, want 2", w.Orders())
	}
	s.arguments = []string{"dev", "--listen", "127.0.0.1:0", "--http", "off", "--admin", "off", "--domain", "shop.viloforge.test", "--state", s.state}
	s.start()
	if s.at.CA != "" || !strings.Contains(s.output.String(), "obtained by `vilogate cert dev`, good until") {
		t.Errorf("dev does not serve it:\n%s", s.output)
	}
	s.serial(t, w.Roots(), "website.shop.viloforge.test")
	if got := s.certificates(); len(got) != 2 || !strings.Contains(got[1].Issuer, "Pebble") {
		t.Errorf("cert status: %+v", got)
	}
	if _, stderr, err := s.command("", arguments...); err == nil || !strings.Contains(stderr, "end `vilogate dev` first") {
		t.Errorf("cert dev beside dev: %v, %s", err, stderr)
	}
}
