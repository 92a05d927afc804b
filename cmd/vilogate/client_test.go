package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// answer is a response read to its end.
type answer struct {
	status  int // 0 where the connection or the stream was ended without a response
	header  http.Header
	body    string
	trailer http.Header
}

func (a answer) String() string {
	return fmt.Sprintf("%d %v\n%.600s", a.status, a.header, a.body)
}

// problem is the body of a refusal.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	RequestID string `json:"request_id"`
	LoginURL  string `json:"login_url"`
	LogoutURL string `json:"logout_url"`
}

// problem reads the answer as problem+json, and fails when it is not.
func (a answer) problem(tb testing.TB) problem {
	tb.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		tb.Errorf("Content-Type %q, want application/problem+json\n%v", got, a)
	}
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		tb.Errorf("problem: %v in %q", err, a.body)
	}
	if p.Status != a.status || p.Type == "" || p.Title == "" || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
		tb.Errorf("problem %+v is incomplete or disagrees with its response %v", p, a)
	}
	return p
}

// object reads the answer's JSON.
func object[T any](tb testing.TB, a answer) T {
	tb.Helper()
	var value T
	if err := json.Unmarshal([]byte(a.body), &value); err != nil {
		tb.Fatalf("JSON: %v in %v", err, a)
	}
	return value
}

// client is a person's user agent: it has cookies, follows nothing by itself, and reaches every host of the site at the
// site's one address, as DNS would have it.
type client struct {
	tb   testing.TB
	site *site
	http *http.Client
	jar  *cookiejar.Jar
}

func (s *site) client() *client {
	s.tb.Helper()
	return newClient(s.tb, s, &tls.Config{RootCAs: s.roots})
}

func newClient(tb testing.TB, s *site, config *tls.Config) *client {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			var dialer net.Dialer
			switch host, port, _ := net.SplitHostPort(address); {
			case net.ParseIP(host) != nil:
				return dialer.DialContext(ctx, "tcp", address)
			case port == "80":
				return dialer.DialContext(ctx, "tcp", s.at.HTTP)
			default:
				return dialer.DialContext(ctx, "tcp", s.at.HTTPS)
			}
		},
	}
	if slices.Equal(config.NextProtos, []string{"http/1.1"}) {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(true)
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return &client{tb: tb, site: s, jar: jar, http: &http.Client{
		Transport: transport, Jar: jar, Timeout: waitTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// fresh is another user agent at the same site, without cookies and without connections.
func (c *client) fresh() *client {
	c.tb.Helper()
	transport, ok := c.http.Transport.(*http.Transport)
	if !ok {
		c.tb.Fatal("a client without a transport of its own")
	}
	return newClient(c.tb, c.site, transport.TLSClientConfig.Clone())
}

// url makes the address of a host of the site: url("app", "/x") is https://app.<domain>/x.
func (s *site) url(host, path string) string {
	return "https://" + s.authority(host) + path
}

// authority is what stands in Host for a host of the site; "" is the domain itself.
func (s *site) authority(host string) string {
	if host == "" {
		return s.domain + s.port
	}
	return host + "." + s.domain + s.port
}

// try sends a request; header lines come as "Name: value".
func (c *client) try(method, address, body string, header ...string) (answer, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, address, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if strings.EqualFold(name, "Host") {
			request.Host = value
		}
		request.Header.Add(name, value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(response.Body)
	if err := response.Body.Close(); err != nil {
		return answer{}, err
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(text), trailer: response.Trailer}, err
}

func (c *client) do(method, address, body string, header ...string) answer {
	c.tb.Helper()
	a, err := c.try(method, address, body, header...)
	if err != nil {
		c.tb.Fatalf("%s %s: %v", method, address, err)
	}
	return a
}

func (c *client) get(address string, header ...string) answer {
	c.tb.Helper()
	return c.do(http.MethodGet, address, "", header...)
}

// again sends a request once more where 503 says so, as on a machine where Redis or the IdP is late.
func again(tb testing.TB, send func() answer) (got answer) {
	tb.Helper()
	eventually(tb, "a request is judged", func() bool {
		got = send()
		return !isLate(got)
	})
	return got
}

func isLate(got answer) bool {
	return got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") != ""
}

// navigation is what a browser says of itself when a person opens an address.
var navigation = []string{
	"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none",
	"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
}

// open goes to an address as a person does.
func (c *client) open(address string, header ...string) answer {
	c.tb.Helper()
	return c.get(address, append(append([]string{}, navigation...), header...)...)
}

// follow goes on from a redirect until a page comes, as a browser does.
func (c *client) follow(address string) (last string, a answer) {
	c.tb.Helper()
	for range 12 {
		a = c.open(address)
		if a.status < 300 || a.status > 399 {
			return address, a
		}
		address = resolve(c.tb, address, a.header.Get("Location"))
	}
	c.tb.Fatalf("redirected without end, at last to %s", address)
	return "", answer{}
}

func resolve(tb testing.TB, base, reference string) string {
	tb.Helper()
	from, err := url.Parse(base)
	if err != nil {
		tb.Fatal(err)
	}
	to, err := from.Parse(reference)
	if err != nil || reference == "" {
		tb.Fatalf("Location %q: %v", reference, err)
	}
	return to.String()
}

// form is an HTML form: where it goes, and what it holds already.
type form struct {
	action string
	method string
	fields url.Values
	names  []string // of the fields that a person fills in
}

// formIn finds the page's first form that holds a field of that name, "" for any.
func formIn(tb testing.TB, address, page, field string) form {
	tb.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		tb.Fatal(err)
	}
	for node := range root.Descendants() {
		if node.Type != html.ElementNode || node.Data != "form" {
			continue
		}
		f := form{action: address, method: strings.ToUpper(attribute(node, "method")), fields: url.Values{}}
		if action := attribute(node, "action"); action != "" {
			f.action = resolve(tb, address, action)
		}
		for inner := range node.Descendants() {
			if inner.Type != html.ElementNode || inner.Data != "input" {
				continue
			}
			if attribute(inner, "type") == "hidden" {
				f.fields.Add(attribute(inner, "name"), attribute(inner, "value"))
			} else if name := attribute(inner, "name"); name != "" {
				f.names = append(f.names, name)
			}
		}
		if field == "" || f.has(field) {
			return f
		}
	}
	tb.Fatalf("%s has no form with a field %q:\n%s", address, field, page)
	return form{}
}

func (f form) has(name string) bool {
	for _, n := range f.names {
		if n == name {
			return true
		}
	}
	return f.fields.Has(name)
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// submit sends a form as a browser does.
func (c *client) submit(f form, header ...string) answer {
	c.tb.Helper()
	origin, err := url.Parse(f.action)
	if err != nil {
		c.tb.Fatal(err)
	}
	lines := append([]string{
		"Content-Type: application/x-www-form-urlencoded", "Origin: " + origin.Scheme + "://" + origin.Host,
		"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Sec-Fetch-User: ?1", "Accept: text/html",
	}, header...)
	return c.do(http.MethodPost, f.action, f.fields.Encode(), lines...)
}

// loginAt opens an address, fills in the login form that it leads to, and returns the answer to that form.
func (c *client) loginAt(address, user, password string) answer {
	c.tb.Helper()
	at, page := c.follow(address)
	f := formIn(c.tb, at, page.body, "password")
	f.fields.Set("username", user)
	f.fields.Set("password", password)
	return c.submit(f)
}

// login signs the user in at the login host, with the password that addUser gave.
func (c *client) login(user string) *client {
	c.tb.Helper()
	a := c.loginAt(c.site.url("login", "/login"), user, passwordOf(user))
	if a.status != http.StatusSeeOther || c.sso() == "" {
		c.tb.Fatalf("login of %s: %v", user, a)
	}
	return c
}

const ssoCookie = "__Secure-sso"

// sso is the SSO cookie's value as the user agent holds it.
func (c *client) sso() string { return c.cookie("app", ssoCookie) }

func (c *client) cookie(host, name string) string {
	c.tb.Helper()
	address, err := url.Parse(c.site.url(host, "/"))
	if err != nil {
		c.tb.Fatal(err)
	}
	for _, cookie := range c.jar.Cookies(address) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// logout signs out at a host as a page's own script does.
func (c *client) logout(host string) answer {
	c.tb.Helper()
	return again(c.tb, func() answer {
		return c.do(http.MethodPost, c.site.url(host, "/.vilogate/logout"), "",
			"Origin: https://"+c.site.authority(host), "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
	})
}
