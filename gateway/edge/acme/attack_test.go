package acme_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/edge/acme/acmetest"
	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// What went wrong once, or was tried to make it go wrong.

const (
	tooMany = `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}`
	one     = "viloforge.test"
)

// gateways starts so many gateways of a fleet that want one certificate; the test's
// end ends them.
func gateways(t *testing.T, count int, w *acmetest.World, r *redistest.Server, change func(*acme.Options)) []*acme.Manager {
	t.Helper()
	var all []*acme.Manager
	for range count {
		o := member(t, w, r, filepath.Join(t.TempDir(), "state"), &served{})
		o.Names = []string{one}
		if change != nil {
			change(&o)
		}
		m, _ := manage(t, o)
		all = append(all, m)
	}
	return all
}

// waitForFailure waits until every gateway knows of a failure.
func waitForFailure(t *testing.T, all []*acme.Manager) {
	t.Helper()
	for _, m := range all {
		eventually(t, "every gateway knows of the failure", func() bool { return m.Status()[0].Failures > 0 })
	}
}

// A fleet respects the authority's Retry-After together, and counts failed
// validations together.
func TestAFleetFailsOnce(t *testing.T) {
	t.Parallel()
	t.Run("rate limit", func(t *testing.T) {
		t.Parallel()
		w, r := acmetest.New(t, acmetest.PebbleOptions{}, one), redistest.New(t)
		probe := options(t, w, filepath.Join(t.TempDir(), "x"), &served{})
		asked := rateLimited(t, w, &probe, http.StatusTooManyRequests, "7200", tooMany)
		waitForFailure(t, gateways(t, 5, w, r, func(o *acme.Options) { o.Directory, o.Roots = probe.Directory, probe.Roots }))
		if asked() != 1 {
			t.Errorf("the authority was asked %d times", asked())
		}
	})
	t.Run("failed validation", func(t *testing.T) {
		t.Parallel()
		seen, empty, r := acmetest.NewZones(t, one), acmetest.NewZones(t, one), redistest.New(t)
		w := &acmetest.World{Pebble: acmetest.NewPebble(t, empty.Address, acmetest.PebbleOptions{}), Zones: seen, Cloudflare: acmetest.NewCloudflare(t, seen)}
		waitForFailure(t, gateways(t, 5, w, r, nil))
		if w.Orders() != 1 {
			t.Errorf("%d orders", w.Orders())
		}
	})
}

// A gateway whose clock is wrong stops nobody but itself, and itself only until
// the clock is right.
func TestAWrongClockIsNobodyElses(t *testing.T) {
	t.Parallel()
	w, r := acmetest.New(t, acmetest.PebbleOptions{}, one), redistest.New(t)
	var ahead atomic.Int64
	ahead.Store(int64(100 * 24 * time.Hour))
	wrong := gateways(t, 1, w, r, func(o *acme.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	waitForFailure(t, wrong)
	right := gateways(t, 1, w, r, nil)
	eventually(t, "the gateway with the right clock has its certificate", func() bool { return right[0].Ready() == nil })
	ahead.Store(0)
	eventually(t, "so has the other one", func() bool { return wrong[0].Ready() == nil && wrong[0].Status()[0].Failures == 0 })
	if w.Orders() != 1 {
		t.Errorf("%d orders", w.Orders())
	}
}

// Whoever wants a certificate renewed, at once and at several gateways, gets one.
func TestConcurrentRenewalsOrderOnce(t *testing.T) {
	t.Parallel()
	w, r := acmetest.New(t, acmetest.PebbleOptions{}, one), redistest.New(t)
	all := gateways(t, 3, w, r, nil)
	for _, m := range all {
		eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	}
	var wishes sync.WaitGroup
	for _, m := range all {
		for range 2 {
			wishes.Go(func() {
				if err := m.Renew(t.Context(), ""); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wishes.Wait()
	if w.Orders() != 2 {
		t.Errorf("%d orders, want 2", w.Orders())
	}
}

// A record that cannot be removed any more, because the token is for another zone
// now, keeps nobody from a certificate.
func TestARecordOutOfReachStopsNothing(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, one, "example.test")
	dir := filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, &served{})
	o.Names = []string{one}
	w.Cloudflare.Refuse(func(r *http.Request) (int, int, string) {
		if strings.Contains(r.URL.String(), "viloforge") {
			return http.StatusForbidden, 10000, "Authentication error"
		}
		return 0, 0, ""
	})
	m, stop := manage(t, o)
	eventually(t, "a failure", func() bool { return m.Status()[0].Failures > 0 })
	stop()
	w.Zones.Alias("_acme-challenge."+one, "acme.example.test")
	o.ChallengeDomain = "acme.example.test"
	m, stop = manage(t, o) // other settings: it does not wait for what failed before
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	if err := m.Renew(t.Context(), ""); err != nil {
		t.Errorf("the renewal: %v", err)
	}
	stop()
}

// An order that is asked about at a bad moment is not given up; one that has led
// to a certificate for another key is.
func TestWhatBecomesOfAnOrderUnderWay(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, one)
	dir := filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, &served{})
	o.Names = []string{one}
	f := proxyAuthority(t, w, &o)
	w.Zones.HideTXT(true)
	m, stop := manage(t, o)
	eventually(t, "the record is written", func() bool { return len(w.Zones.TXT()) == 1 })
	stop()
	file := glob(t, filepath.Join(dir, "orders", "*", one+".json"))
	order, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.Zones.HideTXT(false)
	f.answer.Store(&answer{"/my-order/", http.StatusTooManyRequests, "", "application/problem+json", tooMany})
	m, stop = manage(t, o)
	eventually(t, "a failure", func() bool { return m.Status()[0].Failures > 0 })
	f.answer.Store(nil)
	if err := m.Renew(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	stop()
	if w.Orders() != 1 {
		t.Errorf("%d orders, want 1", w.Orders())
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := certmagic.PEMEncodePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var pending map[string]any
	if err := json.Unmarshal(order, &pending); err != nil {
		t.Fatal(err)
	}
	pending["key"], pending["txt"] = encoded, nil
	if order, err = json.Marshal(pending); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, order, 0o600); err != nil {
		t.Fatal(err)
	}
	remove(t, recordOf(t, dir, one))
	m, stop = manage(t, o)
	eventually(t, "another certificate", func() bool { return m.Ready() == nil })
	stop()
	if w.Orders() != 2 {
		t.Errorf("%d orders, want 2", w.Orders())
	}
}

// Whatever the authority says, and however, is cut to a line, and its Retry-After is
// respected.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]answer{
		"a page":       {"/order-plz", http.StatusTooManyRequests, "7200", "text/html", "<html>" + strings.Repeat("too many ", 50_000)},
		"a long story": {"/order-plz", http.StatusTooManyRequests, "7200", "application/problem+json", `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"\u001b[31m` + strings.Repeat("x", 900_000) + `"}`},
		"no end":       {"/dir", http.StatusOK, "", "application/json", strings.Repeat(" ", 3<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := acmetest.New(t, acmetest.PebbleOptions{}, one)
			o := options(t, w, filepath.Join(t.TempDir(), "certificates"), &served{})
			o.Names = []string{one}
			f := proxyAuthority(t, w, &o)
			f.answer.Store(&a)
			m, _ := manage(t, o)
			eventually(t, "a failure", func() bool { return m.Status()[0].Failures > 0 })
			s := m.Status()[0]
			if len(s.LastError) > 2000 || strings.ContainsAny(s.LastError, "\x1b\n") {
				t.Errorf("%d bytes: %.200q", len(s.LastError), s.LastError)
			}
			if a.retryAfter != "" && time.Until(*s.NextAttempt) < time.Hour {
				t.Errorf("the next attempt is at %v", s.NextAttempt)
			}
		})
	}
}

// What is damaged in the storage is made anew.
func TestDamagedValues(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, one)
	dir := filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, &served{})
	o.Names = []string{one}
	m, stop := manage(t, o)
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	stop()
	authority := filepath.Base(filepath.Dir(recordOf(t, dir, one)))
	for _, kind := range []string{"certificates", "orders", "failures", "renewals"} {
		file := filepath.Join(dir, kind, authority, one+".json")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(`{"key":`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "accounts", authority, "account.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m, stop = manage(t, o)
	eventually(t, "another certificate", func() bool { return m.Ready() == nil })
	stop()
	if w.Orders() != 2 || w.Accounts() != 2 {
		t.Errorf("%d orders and %d accounts, want 2 and 2", w.Orders(), w.Accounts())
	}
}
