package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// waitTimeout ends a test that hangs.
const waitTimeout = 2 * time.Minute

// hasty is a short timeout, for answers that never end.
func hasty(c *jwks.RemoteConfig, _ string) { c.Timeout = 500 * time.Millisecond }

// fetched runs a remote set against a real server until it has keys or has failed once, and says which.
func fetched(t *testing.T, handler http.Handler, change func(*jwks.RemoteConfig, string)) (*jwks.Remote, jwks.Status) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	ended := make(chan struct{}, 1)
	config := jwks.RemoteConfig{
		URL: server.URL + "/keys", Client: server.Client(), Timeout: waitTimeout,
		Log: slog.New(slog.NewTextHandler(told{ended}, nil)),
	}
	if change != nil {
		change(&config, server.URL)
	}
	remote, err := jwks.NewRemote(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- remote.Run(ctx) }()
	select {
	case <-ended:
	case <-time.After(waitTimeout):
		t.Error("the fetch never ended")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	return remote, remote.Status()
}

// told takes a log and tells that something was logged: each first outcome is.
type told struct{ ended chan struct{} }

func (t told) Write(p []byte) (int, error) {
	select {
	case t.ended <- struct{}{}:
	default:
	}
	return len(p), nil
}

func answer(t *testing.T, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(body); err != nil {
			t.Log(err) // the client need not listen to the end
		}
	}
}

func TestAnswersOfARealServer(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	var elsewhere atomic.Int32
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		change  func(*jwks.RemoteConfig, string)
		want    string // of the error; empty when the keys are good
	}{
		"good": {answer(t, setOf(key)), nil, ""},
		"another host's name": {func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "login.example.test" {
				http.Error(w, "no such host", http.StatusNotFound)
				return
			}
			answer(t, setOf(key))(w, r)
		}, func(c *jwks.RemoteConfig, _ string) { c.Host = "login.example.test" }, ""},
		"huge": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil { // no end of it
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		}, nil, "too large"},
		"larger than configured": {answer(t, setOf(key)), func(c *jwks.RemoteConfig, _ string) { c.MaxBytes = 10 }, "too large"},
		"no header":              {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, hasty, "deadline exceeded"},
		"byte by byte": {func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-r.Context().Done():
					return
				case <-tick.C:
					if _, err := io.WriteString(w, " "); err != nil {
						return
					}
					if err := http.NewResponseController(w).Flush(); err != nil {
						return
					}
				}
			}
		}, hasty, "deadline exceeded"},
		"empty":     {answer(t, nil), nil, "not a JSON object"},
		"no keys":   {answer(t, setOf()), nil, "no key"},
		"an error":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }, nil, "500"},
		"a promise": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, nil, "202"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/keys" {
				elsewhere.Add(1)
				answer(t, setOf(key))(w, r)
				return
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, nil, "302"},
		"cut short": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			answer(t, setOf(key)[:20])(w, r)
		}, nil, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			remote, status := fetched(t, test.handler, test.change)
			if test.want == "" {
				if !known(t, remote, key) || status.Err != nil || status.LastSuccess.IsZero() {
					t.Errorf("%+v", status)
				}
				return
			}
			if status.Err == nil || !strings.Contains(status.Err.Error(), test.want) || remote.Ready() {
				t.Errorf("want %q: %+v", test.want, status)
			}
			if _, err := remote.Key(key.ID(), time.Now()); !errors.Is(err, token.ErrKeysNotLoaded) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Cleanup(func() {
		if n := elsewhere.Load(); n != 0 {
			t.Errorf("a redirect was followed %d times", n)
		}
	})
}

func TestARedirectIsFollowedOnceWithinHTTPS(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	clear := httptest.NewServer(answer(t, setOf(key)))
	t.Cleanup(clear.Close)
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"/once": "/keys", "/twice": "/once", "/loop": "/loop", "/clear": clear.URL, "/password": strings.Replace(server.URL, "https://", "https://a:secret@", 1) + "/keys",
			"/large": "/huge", "/slow": "/never", "/discovery/.well-known/openid-configuration": "/metadata",
		}[r.URL.Path]
		switch {
		case to != "":
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		case r.URL.Path == "/huge":
			answer(t, append(setOf(key), strings.Repeat(" ", 300<<10)...))(w, r)
		case r.URL.Path == "/never":
			<-r.Context().Done()
		case r.URL.Path == "/metadata":
			answer(t, fmt.Appendf(nil, `{"issuer":"%[1]s/discovery","jwks_uri":"%[1]s/keys"}`, server.URL))(w, r)
		default:
			answer(t, setOf(key))(w, r)
		}
	}))
	t.Cleanup(server.Close)
	for path, want := range map[string]string{
		"/keys": "", "/once": "", "/twice": "redirected a second time", "/loop": "redirected a second time", "/clear": "only https to https is followed",
		"/password": "with a user name", "/large": "too large", "/slow": "deadline exceeded", "/discovery": "307",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			remote, status := fetched(t, http.NotFoundHandler(), func(c *jwks.RemoteConfig, _ string) {
				c.URL, c.Client, c.FollowRedirect = server.URL+path, server.Client(), true
				switch path {
				case "/slow":
					hasty(c, "")
				case "/discovery":
					c.URL, c.DiscoveryIssuer = "", server.URL+path
				}
			})
			switch {
			case want == "" && (status.Err != nil || !known(t, remote, key)):
				t.Errorf("%+v", status)
			case want != "" && (status.Err == nil || !strings.Contains(status.Err.Error(), want) || strings.Contains(status.Err.Error(), "secret")):
				t.Errorf("want %q: %+v", want, status)
			}
		})
	}
	_, status := fetched(t, http.NotFoundHandler(), func(c *jwks.RemoteConfig, _ string) { c.URL, c.Client = server.URL+"/once", server.Client() })
	if status.Err == nil || !strings.Contains(status.Err.Error(), "307") {
		t.Errorf("followed though nobody said so: %+v", status)
	}
}

func TestOddKeysAreLeftOutAndCounted(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	remote, status := fetched(t, answer(t, []byte(`{"keys":[null,`+string(key.JSON())+`,{"kty":"RSA","x5c":["MIIC"]}]}`)), nil)
	if !known(t, remote, key) || status.Keys != 1 || status.Malformed != 2 || status.Err != nil {
		t.Errorf("%+v", status)
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for name, test := range map[string]struct {
		metadata string // %s is the server's address
		want     string
	}{
		"good":               {`{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, ""},
		"of another issuer":  {`{"issuer":"https://evil.test","jwks_uri":"%[1]s/keys"}`, "another issuer"},
		"with a slash more":  {`{"issuer":"%[1]s/","jwks_uri":"%[1]s/keys"}`, "another issuer"},
		"without jwks_uri":   {`{"issuer":"%[1]s"}`, "jwks_uri"},
		"a file":             {`{"issuer":"%[1]s","jwks_uri":"file:///etc/passwd"}`, "jwks_uri"},
		"with a password":    {`{"issuer":"%[1]s","jwks_uri":"http://a:b@evil.test/"}`, "jwks_uri"},
		"no JSON":            {`<html>%[1]s`, "metadata"},
		"nobody at jwks_uri": {`{"issuer":"%[1]s","jwks_uri":"%[1]s/nowhere"}`, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.HandleFunc("/keys", answer(t, setOf(key)))
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
				answer(t, fmt.Appendf(nil, test.metadata, "http://"+r.Host))(w, r)
			})
			remote, status := fetched(t, mux, func(c *jwks.RemoteConfig, address string) { c.URL, c.DiscoveryIssuer = "", address })
			switch {
			case test.want == "" && (status.Err != nil || !known(t, remote, key)):
				t.Errorf("%+v", status)
			case test.want != "" && (status.Err == nil || !strings.Contains(status.Err.Error(), test.want)):
				t.Errorf("want %q: %+v", test.want, status)
			}
		})
	}
}

// The crowd of TestRandomKidsFetchOnceInThirtySeconds over a real server and a real clock, which may refresh once an hour: good
// tokens are served all along.
func TestACrowdOfRandomKidsAtARealServer(t *testing.T) {
	t.Parallel()
	private, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer(t, setOf(private.Public()))(w, r)
	}))
	t.Cleanup(server.Close)
	fetched := make(chan struct{}, 1)
	remote, err := jwks.NewRemote(jwks.RemoteConfig{
		URL: server.URL, Client: server.Client(), MinRefresh: time.Hour, Timeout: waitTimeout,
		Log: slog.New(slog.NewTextHandler(told{fetched}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- remote.Run(ctx) }()
	<-fetched
	v, err := token.NewVerifier(token.VerifierConfig{Issuers: []token.IssuerConfig{{Name: "partner", ISS: "https://id.test", Audiences: []string{"x"}, Keys: remote}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	grant := token.Grant{
		Issuer: "https://id.test", Audience: "x", Subject: "1", User: "carol", Session: "s", ID: "j",
		AuthTime: now, IssuedAt: now, Expires: now.Add(time.Hour),
	}
	good, err := private.SignAccess(grant)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		stranger, err := token.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		bad, err := stranger.SignAccess(grant)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := v.Verify(bad, now); !errors.Is(err, token.ErrUnknownKey) {
				t.Fatalf("%d: %v", i, err)
			}
		}
		if _, err := v.Verify(good, now); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n := asked.Load(); n > 1 {
		t.Errorf("%d fetches", n)
	}
}
