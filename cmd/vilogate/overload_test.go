package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestGoodputUnderOverload: a backend that does worse the more it has to do at a time is asked for as much as it can take, when twice
// that arrives: who is answered is served, and the others are told to come again. The figures are reported.
func TestGoodputUnderOverload(t *testing.T) {
	t.Parallel()
	const concurrency, work = 8, 20 * time.Millisecond // 400 a second
	var inside atomic.Int64
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := inside.Add(1)
		defer inside.Add(-1)
		time.Sleep(work * time.Duration(max(n-concurrency, 1))) // the work of this backend
		fmt.Fprint(w, "done")
	}))
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("trusted_proxies: [127.0.0.1/32]\nupstreams: { app: { url: %q, concurrency: %d } }\n", backend.URL, concurrency),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
	})
	c := newClient(t, s, s.tls("", "h2"))
	c.get(s.url("app", "/x"))
	goodput := func(rate int) (served, refused int64) {
		const takes = 3 * time.Second
		var all sync.WaitGroup
		var done, late atomic.Int64
		tick, begin := time.NewTicker(10*time.Millisecond), time.Now()
		defer tick.Stop()
		for sent := 0; time.Since(begin) < takes; <-tick.C {
			for due := int(time.Since(begin).Seconds() * float64(rate)); sent < due; sent++ {
				from := fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", sent%40)
				all.Go(func() {
					got, err := c.try(http.MethodGet, s.url("app", "/x"), "", from)
					switch {
					case err != nil:
						t.Error(err)
					case got.status == http.StatusOK:
						done.Add(1)
					case got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.HasSuffix(got.problem(t).Type, "/overloaded"):
						t.Errorf("%v", got)
					default:
						late.Add(1)
					}
				})
			}
		}
		all.Wait()
		return done.Load(), late.Load()
	}
	for _, rate := range []int{200, 400, 800} {
		served, refused := goodput(rate)
		t.Logf("%d a second: %d served, %d refused", rate, served, refused)
		if served == 0 || rate == 800 && refused == 0 {
			t.Errorf("at %d a second %d were served, and %d refused", rate, served, refused)
		}
	}
}
