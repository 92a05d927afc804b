package acme_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/edge/acme/acmetest"
	"github.com/viloforge/vilogate/gateway/edge/certstore"
)

const waitTimeout = 5 * time.Minute

// A served is what a manager serves, as a test sees it.
type served struct {
	mu  sync.Mutex
	all []*tls.Certificate // guarded by mu
	log log
}

func (s *served) replace(all []*tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = all
}

func (s *served) certificates() []*tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// log keeps what was logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// options are those of a manager in a world, with its files in dir.
func options(t *testing.T, w *acmetest.World, dir string, s *served) acme.Options {
	t.Helper()
	store, err := certstore.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return acme.Options{
		Names: []string{"viloforge.test", "*.viloforge.test"}, Directory: w.Directory, Roots: w.Trusted(),
		Email: "ops@viloforge.test", APIToken: acmetest.Token, APIBase: w.Cloudflare.URL, Resolvers: []string{w.Zones.Address},
		PropagationTimeout: 10 * time.Second, Storage: store, Serve: s.replace, PollInterval: 200 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(io.MultiWriter(&s.log, t.Output()), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// manage starts a manager; the test's end, or what is returned, ends it.
func manage(t *testing.T, o acme.Options) (m *acme.Manager, stop func()) {
	t.Helper()
	m, err := acme.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return m, stop
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(waitTimeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}

func TestApexAndWildcardAreObtainedOnce(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	s, dir := &served{}, filepath.Join(t.TempDir(), "certificates")
	m, stop := manage(t, options(t, w, dir, s))
	if err := m.Ready(); err == nil || !strings.Contains(err.Error(), "no certificate for viloforge.test yet") {
		t.Errorf("before: %v", err)
	}
	eventually(t, "both certificates", func() bool { return m.Ready() == nil })
	all := s.certificates()
	if len(all) != 2 || all[0].Leaf.VerifyHostname("viloforge.test") != nil || all[1].Leaf.VerifyHostname("any.viloforge.test") != nil {
		t.Fatalf("served: %v", all)
	}
	for i, status := range m.Status() {
		if status.NotAfter == nil || !status.NotAfter.Equal(all[i].Leaf.NotAfter) || status.NextAttempt == nil || status.Serial == "" || status.LastError != "" || status.Stored != dir {
			t.Errorf("status: %+v", status)
		}
	}
	if left := w.Zones.TXT(); len(left) > 0 {
		t.Errorf("TXT records are left: %v", left)
	}
	stop()
	again := &served{}
	_, stop = manage(t, options(t, w, dir, again))
	if got := again.certificates(); len(got) != 2 {
		t.Errorf("after a restart, %d certificates are served at once", len(got))
	}
	// What the storage loses is given back, and not ordered again.
	stored := recordOf(t, dir, "viloforge.test")
	remove(t, stored)
	eventually(t, "the lost certificate is back", func() bool { return exists(stored) })
	// So is one that is damaged.
	if err := os.WriteFile(stored, []byte(`{"chain":"`), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the damaged certificate is back", func() bool {
		data, err := os.ReadFile(stored)
		return err == nil && len(data) > 1000
	})
	stop()
	if w.Orders() != 2 || w.Accounts() != 1 {
		t.Errorf("%d orders and %d accounts, want 2 and 1", w.Orders(), w.Accounts())
	}
	if said := s.log.String() + again.log.String(); strings.Contains(said, acmetest.Token) || strings.Contains(said, "PRIVATE KEY") {
		t.Errorf("a secret is in the log:\n%s", said)
	}
}

// recordOf is the file of the certificate for a name.
func recordOf(t *testing.T, dir, name string) string {
	t.Helper()
	return glob(t, filepath.Join(dir, "certificates", "*", name+".json"))
}

func glob(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// The authority's suggestion (RFC 9773) decides: of certificates that are good
// for four minutes, the one that it wants replaced is, when it is a minute old, and
// the other not before its time. The first has as long to be replaced as it would
// be left alone without the suggestion: that much a busy machine may take.
func TestRenewalFollowsTheAuthority(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{Validity: 4 * time.Minute}, "viloforge.test")
	s, dir := &served{}, filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, s)
	o.Names = o.Names[:1]
	m, stop := manage(t, o)
	eventually(t, "a certificate", func() bool { return m.Ready() == nil })
	first := s.certificates()[0].Leaf
	stop() // it remembers what it was told before
	w.SuggestRenewal(first, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	forgetSuggestion(t, dir)
	m, stop = manage(t, o)
	eventually(t, "it is renewed", func() bool { return s.certificates()[0].Leaf.SerialNumber.Cmp(first.SerialNumber) != 0 })
	if again := s.certificates()[0].Leaf; again.NotBefore.Sub(first.NotBefore) > 155*time.Second {
		t.Errorf("renewed at %v, after %v, as if the authority had said nothing", again.NotBefore, first.NotBefore)
	}
	stop()
	// Pebble sometimes does not find its own certificate (500), and is then asked once more without it.
	if !strings.Contains(w.Log(), "is a replacement of") && strings.Count(w.Log(), "POST /order-plz -> calling handler()") < 3 {
		t.Error("the order did not say which certificate it replaces")
	}
	second := s.certificates()[0].Leaf
	w.SuggestRenewal(second, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour))
	forgetSuggestion(t, dir)
	m, stop = manage(t, o)
	eventually(t, "the suggestion is taken", func() bool {
		at := m.Status()[0].NextAttempt
		return at != nil && at.After(second.NotAfter.Add(-13*time.Second)) && at.Before(second.NotAfter)
	})
	stop()
	if w.Orders() != 2 {
		t.Errorf("%d orders, want 2", w.Orders())
	}
}

// forgetSuggestion has a manager that is started ask the authority again when to renew.
func forgetSuggestion(t *testing.T, dir string) {
	t.Helper()
	remove(t, filepath.Join(dir, "renewals"))
}

// A process that ends while an order is under way is followed by one that goes on
// with it.
func TestPendingOrderIsResumed(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	s, dir := &served{}, filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, s)
	o.Names = o.Names[1:]
	w.Zones.HideTXT(true)
	for range 3 {
		_, stop := manage(t, o)
		eventually(t, "the record is written", func() bool { return len(w.Zones.TXT()) == 1 && w.Orders() == 1 })
		// As after a kill, the record is still there.
		w.Cloudflare.Refuse(func(r *http.Request) (int, int, string) {
			if r.Method == http.MethodDelete {
				return http.StatusServiceUnavailable, 1, "no"
			}
			return 0, 0, ""
		})
		stop()
		w.Cloudflare.Refuse(nil)
	}
	w.Zones.HideTXT(false)
	m, stop := manage(t, o)
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	stop()
	if left := w.Zones.TXT(); len(left) > 0 || w.Orders() != 1 || w.Accounts() != 1 {
		t.Errorf("%d orders, %d accounts, records left: %v", w.Orders(), w.Accounts(), left)
	}
	if exists(filepath.Join(dir, "orders")) {
		if left, err := filepath.Glob(filepath.Join(dir, "orders", "*", "*")); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

// With a certificate, the gateway serves while the authority and DNS are away,
// and says days before that there is trouble. Without one, it begins to serve
// when they are back.
func TestTheAuthorityIsAway(t *testing.T) {
	t.Parallel()
	z := acmetest.NewZones(t, "viloforge.test")
	w := &acmetest.World{Pebble: acmetest.PreparePebble(t, z.Address, acmetest.PebbleOptions{}), Zones: z, Cloudflare: acmetest.NewCloudflare(t, z)}
	s, dir := &served{}, filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, s)
	o.Names = o.Names[:1]
	m, stop := manage(t, o)
	eventually(t, "it says what is missing", func() bool {
		err := m.Ready()
		return err != nil && strings.Contains(err.Error(), "connection refused") && strings.Contains(err.Error(), "is it reachable from here")
	})
	w.Start()
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	stop()
	w.Stop()
	for days, trouble := range map[time.Duration]bool{50: false, 62: false, 80: true, 100: true} {
		later := &served{}
		o := o
		o.Serve, o.Now = later.replace, func() time.Time { return time.Now().Add(days * 24 * time.Hour) }
		remove(t, filepath.Join(dir, "failures"))
		m, stop := manage(t, o)
		if len(later.certificates()) != 1 || m.Ready() != nil {
			t.Errorf("after %d days: %v", days, m.Ready())
		}
		if days >= 62 {
			eventually(t, "an attempt fails", func() bool { return m.Status()[0].Failures > 0 })
		}
		if got := m.Overdue(); (got != nil) != trouble {
			t.Errorf("after %d days: %v", days, got)
		}
		stop()
	}
}

// Another authority in the configuration interrupts nothing: what was served goes
// on being served until the new one has signed.
func TestAnotherAuthorityInterruptsNothing(t *testing.T) {
	t.Parallel()
	first := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	second := &acmetest.World{Pebble: acmetest.PreparePebble(t, first.Zones.Address, acmetest.PebbleOptions{}), Zones: first.Zones, Cloudflare: first.Cloudflare}
	s, dir := &served{}, filepath.Join(t.TempDir(), "certificates")
	o := options(t, first, dir, s)
	o.Names = o.Names[:1]
	m, stop := manage(t, o)
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	stop()
	old := s.certificates()[0].Leaf
	s = &served{}
	o = options(t, second, dir, s)
	o.Names = o.Names[:1]
	m, stop = manage(t, o)
	if all := s.certificates(); len(all) != 1 || !all[0].Leaf.Equal(old) {
		t.Fatalf("the old certificate is not served: %v", all)
	}
	eventually(t, "the new authority is asked in vain", func() bool { return m.Status()[0].Failures > 0 })
	if all := s.certificates(); len(all) != 1 || !all[0].Leaf.Equal(old) {
		t.Errorf("the old certificate is served no more: %v", all)
	}
	second.Start()
	eventually(t, "the new authority's certificate", func() bool { return !s.certificates()[0].Leaf.Equal(old) })
	stop()
	if first.Orders() != 1 || second.Orders() != 1 {
		t.Errorf("%d and %d orders, want 1 and 1", first.Orders(), second.Orders())
	}
}

// A storage that has gone back to a certificate of before is given the one that
// is served.
func TestAStorageThatWentBackInTime(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	s, dir := &served{}, filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, s)
	o.Names = o.Names[:1]
	m, stop := manage(t, o)
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	file := recordOf(t, dir, "viloforge.test")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Renew(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	renewed := s.certificates()[0].Leaf
	if err := os.WriteFile(file, before, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the storage has the newer one again", func() bool {
		now, err := os.ReadFile(file)
		return err == nil && !bytes.Equal(now, before)
	})
	stop()
	if got := s.certificates()[0].Leaf; !got.Equal(renewed) || w.Orders() != 2 {
		t.Errorf("served is another one; %d orders", w.Orders())
	}
}
