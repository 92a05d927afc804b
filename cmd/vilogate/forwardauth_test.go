package main_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// forwardAuth is what a site has where proxies ask.
const forwardAuth = `
trusted_proxies: [127.0.0.1]
forward_auth: { listen: "127.0.0.1:0", trusted_proxies: [127.0.0.1] }
`

// front is a proxy of another make, which holds the requests for app.viloforge.test and asks the site about them.
type front struct {
	address string
	tls     *tls.Config // nil where it speaks plain HTTP
}

// send sends a request as it is written.
func (f front) send(tb testing.TB, r request) answer {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", f.address, waitTimeout)
	if err != nil {
		tb.Fatal(err)
	}
	if f.tls != nil {
		conn = tls.Client(conn, f.tls)
	}
	defer closeQuietly(tb, conn)
	if err := conn.SetDeadline(time.Now().Add(waitTimeout)); err != nil {
		tb.Fatal(err)
	}
	if r.host == "" {
		r.host = appHost
	}
	r.header = append(slices.Clone(r.header), "Connection: close")
	if _, err := io.WriteString(conn, r.text()); err != nil {
		tb.Logf("writing: %v", err)
	}
	return readAnswer(tb, bufio.NewReader(conn), r.filled().method)
}

// recipe is a file of deploy/forward-auth with the addresses and paths of a test in place of its own.
func recipe(tb testing.TB, name string, replace ...string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "forward-auth", name))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			tb.Fatalf("%s does not hold %q", name, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

// frontNginx is nginx by the recipe.
func frontNginx(t *testing.T, s attackSite) front {
	t.Helper()
	dir, listen, a := t.TempDir(), freeAddress(t), newAuthority(t)
	certificate, key := a.certify(appHost, time.Now().Add(time.Hour))
	files := map[string]string{
		"tls.crt": certificate, "tls.key": key,
		"website.conf": recipe(t, "nginx.conf",
			"listen 443 ssl", "listen "+listen+" ssl", "website.viloforge.com;", appHost+";", "/etc/nginx/gateway-ca.pem", s.at.CA,
			"/etc/nginx/", dir+"/", "127.0.0.1:4181", s.at.ForwardAuth, "127.0.0.1:8443", s.at.HTTPS, "http://127.0.0.1:8001", s.backend.url()),
		"nginx.conf": `
daemon off; master_process off; pid DIR/pid; error_log stderr;
events {}
http {
  access_log off; client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  include DIR/website.conf;
}
`,
	}
	files["nginx.conf"] = strings.ReplaceAll(files["nginx.conf"], "DIR", dir)
	writeFiles(t, dir, files)
	launch(t, dir, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, program(t, "nginx", "nginx-light"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.pem))
	f := front{listen, &tls.Config{ServerName: appHost, RootCAs: roots}}
	eventually(t, "nginx answers", func() bool {
		conn, err := net.Dial("tcp", listen)
		if err != nil {
			return false
		}
		closeQuietly(t, conn)
		return true
	})
	return f
}

func TestForwardAuthOfNginx(t *testing.T) {
	t.Parallel()
	s := newAttackSite(t, forwardAuth)
	f := frontNginx(t, s)
	a := f.send(t, request{target: "/x", header: []string{cookieLine(s.alice)}})
	if a.status != http.StatusOK {
		t.Errorf("%v", a)
	}
	t.Log(s.backend.all())
	t.Log(f.send(t, request{target: "/x", header: navigation}))
	t.Log(f.send(t, request{target: "/x"}))
	t.Log(f.send(t, request{target: "/admin", header: []string{cookieLine(s.alice)}}))
}
