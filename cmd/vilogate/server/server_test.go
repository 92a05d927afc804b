package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// site is a folder with a configuration, policies and certificates.
type site struct {
	t   *testing.T
	dir string
}

const siteConfig = `
domain: viloforge.test
public_port: 443
listen: { https: "127.0.0.1:0", http: "off", admin: "off" }
certificates: { source: files, files: [ { certificate: tls.crt, key: tls.key } ] }
idp: {}
drain: { delay: 0s }
upstreams: { app: { url: "http://127.0.0.1:1" } }
policies: policies/
`

func newSite(t *testing.T) site {
	t.Helper()
	s := site{t, t.TempDir()}
	s.write("vilogate.yaml", siteConfig)
	s.write("policies/app.yaml", "host: app.viloforge.test\nupstream: app\nroutes: [ { path: /x, allow: authenticated } ]\n")
	s.certify(1)
	return s
}

func (s site) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

// certify writes another certificate and its key.
func (s site) certify(serial int64) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	certificate := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"*.viloforge.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.write("tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func (s site) load() (*config.Config, error) {
	return config.Load(filepath.Join(s.dir, "vilogate.yaml"), config.Sources{Getenv: func(string) string { return "" }, ReadFile: os.ReadFile})
}

// open makes a server of the site, with a state folder of its own.
func (s site) open() (*Server, error) {
	s.t.Helper()
	folder, err := state.Open(filepath.Join(s.t.TempDir(), "state"), true)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := folder.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return New(s.t.Context(), Options{Load: s.load, State: folder, Stdout: io.Discard, Log: slog.New(slog.DiscardHandler)})
}

// serving is a server that can be reloaded. Nothing watches its files, so that only a reload can change it.
func (s site) serving() *Server {
	s.t.Helper()
	server, err := s.open()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	server.group, server.background = errgroup.WithContext(ctx)
	s.t.Cleanup(func() {
		stop()
		if err := errors.Join(server.group.Wait(), server.Close()); err != nil {
			s.t.Error(err)
		}
	})
	server.group.Go(func() error { return server.stores.List.Run(ctx) })
	for tick := time.NewTicker(time.Millisecond); !server.stores.List.Ready(); {
		select {
		case <-tick.C:
		case <-s.t.Context().Done():
			s.t.Fatal("the revocation list is not there")
		}
	}
	server.commit(server.current.Load())
	return server
}

// seen is what somebody sees of a server from outside: who may, where a login returns to, and which certificate is served.
func seen(t *testing.T, s *Server) string {
	t.Helper()
	get := func(host, path string) *httptest.ResponseRecorder {
		recorder, r := httptest.NewRecorder(), httptest.NewRequest("GET", path, nil)
		r.Host, r.TLS = host, &tls.ConnectionState{ServerName: host}
		s.gateway.ServeHTTP(recorder, r)
		return recorder
	}
	certificate, err := s.source.GetCertificate(&tls.ClientHelloInfo{ServerName: "app.viloforge.test"})
	if err != nil {
		t.Fatal(err)
	}
	login := get("login.viloforge.test", "/login?redirect_uri="+url.QueryEscape("https://new.viloforge.test/"))
	return fmt.Sprintf("app %d, new %d, returns to new %v, certificate %s",
		get("app.viloforge.test", "/x").Code, get("new.viloforge.test", "/x").Code,
		strings.Contains(login.Header().Get("Content-Security-Policy"), "https://new.viloforge.test"), certificate.Leaf.SerialNumber)
}

// change changes every part of the site that a reload takes over.
func (s site) change(serial int64) {
	s.write("policies/app.yaml", "host: app.viloforge.test\nupstream: app\nroutes: [ { path: /x, allow: public } ]\n")
	s.write("policies/new.yaml", "host: new.viloforge.test\nupstream: app\nroutes: [ { path: /x, allow: authenticated } ]\n")
	s.certify(serial)
}

// Whatever is wrong, and wherever: check, reload and start refuse it in the same words at the same place, and a server that
// was asked to reload serves everything as before, also what was changed and is right.
func TestWhatIsWrongIsRefusedAlikeAndChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(site)
		at    string // of the error
	}{
		"a host that no login can return to": {func(s site) {
			s.write("policies/address.yaml", "host: 10.0.0.1\nupstream: app\nroutes: [ { path: /x, allow: public } ]\n")
		}, "policies/address.yaml:1:7: "},
		"a policy that cannot be compiled": {func(s site) {
			s.write("policies/bad.yaml", "host: bad.viloforge.test\nupstream: app\nroutes: [ { path: /x, allow: pubic } ]\n")
		}, "policies/bad.yaml:3:30: "},
		"a certificate of another key": {func(s site) {
			key, err := os.ReadFile(filepath.Join(s.dir, "tls.key"))
			if err != nil {
				s.t.Fatal(err)
			}
			s.certify(3)
			s.write("tls.key", string(key))
		}, "vilogate.yaml:5:56: "},
		"a client CA that is not there": {func(s site) {
			s.write("policies/mtls.yaml", "host: mtls.viloforge.test\nupstream: app\ntls: { client_ca: nowhere.pem }\nroutes: [ { path: /x, allow: public } ]\n")
		}, "policies/mtls.yaml:3:"},
		"an upstream with a path that is not canonical": {func(s site) {
			s.write("vilogate.yaml", strings.Replace(siteConfig, "127.0.0.1:1", "127.0.0.1:1/x/../y", 1))
		}, "vilogate.yaml:8:"},
		"several at once": {func(s site) {
			s.write("policies/address.yaml", "host: 10.0.0.1\nupstream: app\nroutes: [ { path: /x, allow: public } ]\n")
			s.write("tls.crt", "nonsense")
		}, "policies/address.yaml:1:7: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			server := s.serving()
			before, generationBefore := seen(t, server), server.current.Load()
			s.change(2)
			c.spoil(s)
			_, reloadErr := server.Reload()
			if reloadErr == nil || !strings.Contains(reloadErr.Error(), c.at) {
				t.Fatalf("a reload: %v, want something at %s", reloadErr, c.at)
			}
			if after := seen(t, server); after != before || server.current.Load() != generationBefore {
				t.Errorf("before %s; after a reload that was refused: %s", before, after)
			}
			cfg, checkErr := s.load()
			if checkErr == nil {
				_, checkErr = generation.Check(cfg, false)
			}
			_, startErr := s.open()
			for way, err := range map[string]error{"check": checkErr, "a start": startErr} {
				if err == nil || err.Error() != reloadErr.Error() {
					t.Errorf("%s says %v, a reload %v", way, err, reloadErr)
				}
			}
		})
	}
}

func TestAReloadChangesEveryPart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := s.serving()
	if got := seen(t, server); got != "app 401, new 404, returns to new false, certificate 1" {
		t.Errorf("before: %s", got)
	}
	s.change(2)
	answer, err := server.Reload()
	if err != nil {
		t.Fatal(err)
	}
	if got := seen(t, server); got != "app 502, new 401, returns to new true, certificate 2" {
		t.Errorf("after: %s", got)
	}
	if said := strings.Join(answer.Changes, "\n"); !strings.Contains(said, "new.yaml: added") || !strings.Contains(said, "the certificates' files changed") {
		t.Errorf("it says %q", said)
	}
	s.write("vilogate.yaml", siteConfig+"limits: { streams: 7 }\n")
	_, err = server.Reload()
	var places strictyaml.Errors
	if !errors.As(err, &places) || len(places) != 1 || places[0].Msg != "`limits` has changed, which takes a restart" || places[0].Place.Line != 10 {
		t.Errorf("a key that takes a restart: %v", err)
	}
}

// The certificates' files are read when they change, whatever becomes of the policies, and half a renewal changes nothing.
func TestCertificatesAreRenewedByThemselves(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := s.serving()
	s.write("policies/app.yaml", "nonsense")
	s.write("tls.crt", "nonsense")
	server.renewFiles()
	if got := seen(t, server); got != "app 401, new 404, returns to new false, certificate 1" {
		t.Errorf("half a renewal: %s", got)
	}
	s.certify(2)
	server.renewFiles()
	if got := seen(t, server); got != "app 401, new 404, returns to new false, certificate 2" {
		t.Errorf("a whole one: %s", got)
	}
}

// A server is a value: it starts, says where it is, and ends with its context.
func TestAServerStartsAndEnds(t *testing.T) {
	t.Parallel()
	server, err := newSite(t).open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	announced := false
	err = server.Run(ctx, func(at Addresses) error {
		announced = at.HTTPS != "" && at.Origin("app.viloforge.test") == "https://app.viloforge.test"
		stop()
		return nil
	})
	if err := errors.Join(err, server.Close()); err != nil || !announced {
		t.Errorf("announced %v, ended with %v", announced, err)
	}
}
