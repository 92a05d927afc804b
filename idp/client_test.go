package idp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// client is a person's browser.
type client struct {
	tb   testing.TB
	http *http.Client
	jar  *cookiejar.Jar
	// header is sent with every request.
	header http.Header
}

func (w *world) client() *client {
	w.tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.server.Certificate())
	address := w.server.Listener.Addr().String()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, // the test server's name
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
	}
	w.tb.Cleanup(transport.CloseIdleConnections)
	return &client{tb: w.tb, jar: jar, header: http.Header{"Accept": {"text/html"}}, http: &http.Client{
		Transport: transport, Jar: jar, Timeout: 2 * time.Minute, // ends a test that hangs
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a response read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	at     string
}

func (a answer) location() string { return a.header.Get("Location") }

// do sends a request; header lines come as "Name: value".
func (c *client) do(method, path, body string, header ...string) answer {
	c.tb.Helper()
	at := path
	if strings.HasPrefix(path, "/") {
		at = loginAt + path
	}
	r, err := http.NewRequestWithContext(c.tb.Context(), method, at, strings.NewReader(body))
	if err != nil {
		c.tb.Fatal(err)
	}
	r.Header = c.header.Clone()
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		} else if name == "Cookie" {
			r.Header.Add(name, value)
		} else {
			r.Header.Set(name, value)
		}
	}
	response, err := c.http.Do(r)
	if err != nil {
		c.tb.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		c.tb.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text), at}
}

func (c *client) get(path string, header ...string) answer {
	c.tb.Helper()
	return c.do(http.MethodGet, path, "", header...)
}

// form is a form as a page holds it.
type form struct {
	at     string
	fields url.Values
}

// form finds the form whose hidden and visible fields have these names.
func (a answer) form(tb testing.TB, names ...string) form {
	tb.Helper()
	root, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		tb.Fatal(err)
	}
	for node := range root.Descendants() {
		if node.Type != html.ElementNode || node.Data != "form" {
			continue
		}
		f := form{at: a.at, fields: url.Values{}}
		if action, ok := attribute(node, "action"); ok {
			f.at = action
		}
		if method, _ := attribute(node, "method"); method != "post" {
			tb.Errorf("a form of %s has the method %q", a.at, method)
		}
		for inner := range node.Descendants() {
			if name, ok := attribute(inner, "name"); ok && inner.Data == "input" {
				value, _ := attribute(inner, "value")
				f.fields.Add(name, value)
			}
		}
		found := true
		for _, name := range names {
			field, value, valued := strings.Cut(name, "=")
			found = found && f.fields.Has(field) && (!valued || f.fields.Get(field) == value)
		}
		if found {
			return f
		}
	}
	tb.Fatalf("%s has no form with %q:\n%s", a.at, names, a.body)
	return form{}
}

func attribute(node *html.Node, name string) (string, bool) {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// submit sends a form with some of its fields filled in: name, value, name, value.
func (c *client) submit(f form, filled ...string) answer {
	c.tb.Helper()
	for i := 0; i < len(filled); i += 2 {
		f.fields.Set(filled[i], filled[i+1])
	}
	return c.do(http.MethodPost, f.at, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

// try fills the login form in.
func (c *client) try(path, user, password string) answer {
	c.tb.Helper()
	return c.submit(c.get(path).form(c.tb, "username", "password"), "username", user, "password", password)
}

// login signs in, and fails the test when that does not work.
func (c *client) login(user string) *client {
	c.tb.Helper()
	got := c.try("/login", user, secret)
	if got.status != http.StatusSeeOther || c.cookie(ssoCookie) == "" || c.cookie(sessionCookie) == "" {
		c.tb.Fatalf("login of %s: %d\n%s", user, got.status, got.body)
	}
	return c
}

func (c *client) cookie(name string) string {
	for _, cookie := range c.jar.Cookies(&url.URL{Scheme: "https", Host: loginHost, Path: "/"}) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// setCookies are the cookies that an answer sets, by name and domain.
func (a answer) setCookies(tb testing.TB) map[string]*http.Cookie {
	tb.Helper()
	set := map[string]*http.Cookie{}
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			tb.Fatal(err)
		}
		set[strings.TrimSuffix(c.Name+"@"+c.Domain, "@")] = c
	}
	return set
}
