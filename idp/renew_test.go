package idp

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/backchannel"
	"github.com/viloforge/vilogate/idp/token"
)

const fleetSecret = "a secret of the fleet, of 32 bytes"

// atOnce is how many questions are under way: no gateway of its own has more.
const atOnce = 32

// backChannel serves gateways' questions over HTTP, and returns a gateway's side of it.
func (w *world) backChannel() *backchannel.Client {
	w.tb.Helper()
	handler, err := backchannel.NewHandler(w.idp.Sessions(), []byte(fleetSecret), w.clock.now, slog.New(slog.NewTextHandler(w.log, nil)))
	if err != nil {
		w.tb.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(backchannel.Path, handler)
	server := httptest.NewServer(mux)
	w.tb.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		w.tb.Fatal(err)
	}
	client, err := backchannel.NewClient(address, []byte(fleetSecret), w.clock.now)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(client.Close)
	return client
}

// signedIn makes sessions as logins do, but for the passwords, and returns the token of each.
func (w *world) signedIn(sessions int) (handles []string) {
	w.tb.Helper()
	users := make([]account, (sessions+maxSessions-1)/maxSessions)
	for i := range users {
		var err error
		if users[i], err = w.idp.directory.findAccount(w.tb.Context(), w.add(fmt.Sprintf("user%d", i)).Name); err != nil {
			w.tb.Fatal(err)
		}
	}
	handles = make([]string, sessions)
	eachAtOnce(sessions, func(i int) {
		secret, err := w.idp.directory.createSession(w.tb.Context(), sessionParams{
			account: users[i%len(users)], amr: []string{amrPassword}, max: w.idp.o.SessionMax, tokenTTL: w.idp.o.AccessTTL,
		})
		if err != nil {
			w.tb.Error(err)
			return
		}
		answer, err := w.idp.issuer.issue(w.tb.Context(), secret, visit{})
		if err != nil {
			w.tb.Error(err)
		}
		handles[i] = answer.token
	})
	if w.tb.Failed() {
		w.tb.FailNow()
	}
	return handles
}

// renew does what a gateway does with an expired token: it has it checked, asks for the one in its place, and says that this
// has left.
func renew(tb testing.TB, gateway backchannel.Sessions, handle string) (successor string) {
	status, err := gateway.Check(tb.Context(), backchannel.Question{Handle: handle})
	if err != nil || status.Claims == "" {
		tb.Errorf("checking: %v", err)
		return ""
	}
	next, err := gateway.Rotate(tb.Context(), backchannel.Question{Handle: handle})
	if err != nil || next.Token == "" {
		tb.Errorf("rotating: %v", err)
		return ""
	}
	if err := gateway.Delivered(tb.Context(), next.Token); err != nil {
		tb.Errorf("delivered: %v", err)
	}
	return next.Token
}

// signed are the claims of a token of ours, expired or not.
func (w *world) signed(raw string) *token.Claims {
	w.tb.Helper()
	values, err := w.idp.verifier.SignedValues(token.OwnIssuer, nil, slices.Values([]string{raw}))
	if err != nil {
		w.tb.Fatal(err)
	}
	return values[0].Claims
}

// eachAtOnce calls f with the numbers below n, several at a time.
func eachAtOnce(n int, f func(i int)) {
	var group sync.WaitGroup
	for worker := range atOnce {
		group.Go(func() {
			for i := worker; i < n; i += atOnce {
				f(i)
			}
		})
	}
	group.Wait()
}

// TestAThousandSessionsAreRenewedAtOnce: each has one new token, whoever asks; of every tenth a second gateway does.
func TestAThousandSessionsAreRenewedAtOnce(t *testing.T) {
	t.Parallel()
	const sessions, each = 1000, 10
	w := newWorld(t)
	handles := w.signedIn(sessions)
	w.clock.advance(w.idp.o.AccessTTL + time.Second)
	one, two := w.backChannel(), w.backChannel()
	var answers [sessions]string
	var others [sessions / each]string
	eachAtOnce(sessions, func(i int) {
		if i%each == 0 {
			others[i/each] = renew(t, two, handles[i])
		}
		next, err := one.Rotate(t.Context(), backchannel.Question{Handle: handles[i]})
		if err != nil {
			t.Error(err)
		}
		answers[i] = next.Token
	})
	seen := map[string]bool{}
	for i, raw := range answers {
		if raw == "" {
			t.Errorf("session %d has no successor", i)
			continue
		}
		before, after := w.signed(handles[i]), w.signed(raw)
		if after.Session() != before.Session() || after.Subject() != before.Subject() || after.ID() == before.ID() || !after.IssuedAt().After(before.IssuedAt()) {
			t.Errorf("session %d: %v in place of %v", i, after, before)
		}
		if i%each == 0 && others[i/each] != "" && w.signed(others[i/each]).ID() != after.ID() {
			t.Errorf("session %d has two successors", i)
		}
		seen[after.ID()] = true
	}
	if len(seen) != sessions {
		t.Errorf("%d successors of %d sessions", len(seen), sessions)
	}
}

// BenchmarkRenewal renews a thousand sessions whose tokens expired together, 32 at a time, over HTTP: each is three questions.
func BenchmarkRenewal(b *testing.B) {
	w := newWorld(b)
	gateway := w.backChannel()
	handles := w.signedIn(1000)
	took := make([]time.Duration, len(handles))
	var all []time.Duration
	cpu, began := cpuTime(b), time.Now()
	for b.Loop() {
		w.clock.advance(w.idp.o.AccessTTL + time.Second)
		eachAtOnce(len(handles), func(i int) {
			began := time.Now()
			handles[i] = renew(b, gateway, handles[i])
			took[i] = time.Since(began)
		})
		all = append(all, took...)
	}
	renewals := float64(len(all))
	b.ReportMetric(renewals/time.Since(began).Seconds(), "renewals/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/renewals, "cpu-µs/renewal")
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// cpuTime is what this process, client and server, has used so far.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
