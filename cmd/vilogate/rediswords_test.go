package main_test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

const redisPassword = "password-of-redis"

// redisSite is a gateway and its IdP with what stands behind `redis:`, and the password in a file.
func redisSite(t *testing.T, redis string) *site {
	t.Helper()
	return prepare(t, map[string]string{
		"password": redisPassword + "\n",
		"vilogate.yaml": serveConfig + fleetSecret + fmt.Sprintf(`
redis: %s
upstreams: { app: { url: "http://127.0.0.1:1" } }
idp: {}
`, redis),
		"policies/app.yaml": attackedPolicy,
	})
}

// TestRedisThatDoesNotFitIsSaidInWords: while Redis cannot be used as it is configured, the log and /readyz say what is
// wrong and which key mends it, and never the password.
func TestRedisThatDoesNotFitIsSaidInWords(t *testing.T) {
	t.Parallel()
	open, closed := redistest.New(t), redistest.New(t, "--requirepass", redisPassword)
	certificate, key := pair(t, 1, "localhost")
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"tls.crt": certificate, "tls.key": key})
	secure := redistest.NewSecure(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	for what, c := range map[string]struct{ redis, says string }{
		"no password":    {fmt.Sprintf("%q", closed.URL()), "redis.password"},
		"wrong password": {fmt.Sprintf("{ url: %q, user: default, password: wrong-password }", closed.URL()), "refuses the user or the password: redis.user and redis.password"},
		"TLS":            {fmt.Sprintf("{ url: %q, tls: true }", open.URL()), "does not speak TLS at this port"},
		"authority":      {fmt.Sprintf("%q", strings.Replace("rediss://"+secure.Address, "127.0.0.1", "localhost", 1)), "redis.ca"},
		"Sentinel":       {fmt.Sprintf("{ sentinel: { master: m, addresses: [%q] }, password: \"${file:password}\" }", open.Address), "redis.sentinel.addresses"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := redisSite(t, c.redis)
			s.startUnready()
			eventually(t, "/readyz says what is wrong", func() bool {
				got := s.admin(t, "/readyz")
				return got.status == http.StatusServiceUnavailable && strings.Count(got.body, c.says) == 2
			})
			eventually(t, "so does the log", func() bool { return strings.Contains(s.output.String(), c.says) })
			if s.saidReady() {
				t.Error("it says that it is ready")
			}
			if out := s.output.String() + s.admin(t, "/readyz").body; strings.Contains(out, redisPassword) || strings.Contains(out, "wrong-password") {
				t.Errorf("it shows a password: %s", out)
			}
		})
	}
}

// TestSentinelAndRedisHavePasswords: each its own, from a file; and TLS with an authority of its own.
func TestSentinelAndRedisHavePasswords(t *testing.T) {
	t.Parallel()
	master := redistest.New(t, "--requirepass", redisPassword)
	sentinels := redistest.NewSentinels(t, "fleet", master, "requirepass of-the-sentinels", "sentinel auth-pass fleet "+redisPassword)
	certificate, key := pair(t, 1, "localhost")
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"tls.crt": certificate, "tls.key": key})
	secure := redistest.NewSecure(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), "--requirepass", redisPassword)
	_, port, err := net.SplitHostPort(secure.Address)
	if err != nil {
		t.Fatal(err)
	}
	for _, redis := range []string{
		fmt.Sprintf("{ sentinel: { master: fleet, addresses: [%q], password: of-the-sentinels }, password: \"${file:password}\" }", sentinels[0]),
		fmt.Sprintf("{ url: \"rediss://localhost:%s/1\", password: \"${file:password}\", ca: %q }", port, filepath.Join(dir, "tls.crt")),
	} {
		s := redisSite(t, redis)
		s.start()
		s.addUser("alice", "member")
		s.client().login("alice").logout("app")
		if out := s.output.String(); strings.Contains(out, redisPassword) || strings.Contains(out, "of-the-sentinels") {
			t.Errorf("the log shows a password: %s", out)
		}
	}
}
