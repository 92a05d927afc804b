package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/idp/revocation"
)

// formNavigation is what a browser says of a form of the host's own page.
var formNavigation = []string{
	"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Origin: https://app.example.test", "Accept: text/html",
}

const urlEncoded = "Content-Type: application/x-www-form-urlencoded"

// keepingSite is a site that keeps posts of up to 1 KiB, and alice's cookie, whose session was revoked.
func keepingSite(t *testing.T, edit ...func(*Settings)) (s *site, ended string) {
	t.Helper()
	s = newSite(t, edit...)
	keeper, err := posts.New(posts.Options{MaxBody: 1 << 10, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	s.gateway.opts.Posts = keeper
	g := s.grant()
	g.Session, g.ID = "s-ended", "t-ended"
	s.revoked.entries = append(s.revoked.entries, revocation.Entry{Kind: revocation.Session, ID: "s-ended"})
	return s, "Cookie: __Secure-sso=" + s.sign(g)
}

// post sends a form as a browser does.
func (s *site) post(target, body string, lines ...string) *http.Response {
	s.t.Helper()
	return s.askHost("app.example.test", "POST", target, body, slices.Concat(formNavigation, lines)...)
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var keptID = regexp.MustCompile(`\.vilogate%2Fkept%3Fid%3D([A-Z2-7]{26})`)

// keptOf returns the id and the cookie of the post that an answer says is kept.
func keptOf(t *testing.T, resp *http.Response) (id, cookie string) {
	t.Helper()
	wantStatus(t, resp, http.StatusUnauthorized)
	page := text(t, resp)
	found := keptID.FindStringSubmatch(page)
	if found == nil || !strings.Contains(page, "is kept for ten minutes") {
		t.Fatalf("not kept: %s", page)
	}
	for _, line := range resp.Header["Set-Cookie"] {
		if strings.HasPrefix(line, keptCookie+found[1]+"=") && strings.HasSuffix(line, "; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax") {
			value, _, _ := strings.Cut(line, ";")
			return found[1], value
		}
	}
	t.Fatalf("no cookie of %s among %q", found[1], resp.Header["Set-Cookie"])
	return "", ""
}

// notKept asserts that nothing of a refused form was kept.
func notKept(t *testing.T, resp *http.Response, status int) string {
	t.Helper()
	page := text(t, resp)
	if resp.StatusCode != status || strings.Contains(page, "kept%3F") || strings.Contains(page, "is kept for ten") {
		t.Errorf("%d, want %d and nothing kept: %s", resp.StatusCode, status, page)
	}
	for _, line := range resp.Header["Set-Cookie"] {
		if strings.HasPrefix(line, keptCookie) {
			t.Errorf("a cookie: %s", line)
		}
	}
	return page
}

func TestAFormOfAnEndedSessionIsSentAfterTheLogin(t *testing.T) {
	s, ended := keepingSite(t)
	records := &auditSpy{}
	s.gateway.opts.Audit = records
	const body, contentType = "note=a+%E2%82%AC\x00&x=1", "Content-Type: application/x-www-form-urlencoded; charset=utf-8"
	id, cookie := keptOf(t, s.post("/things/7?q=(a)'b", body, ended, contentType))
	if s.reached() != nil {
		t.Fatal("the backend was asked while nobody was signed in")
	}
	again := ended[:strings.Index(ended, "=")+1] + s.sign(s.grant()) + "; " + cookie + "; mine=1"
	page := s.ask("GET", "/.vilogate/kept?id="+id, again, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	wantStatus(t, page, 200)
	shown := text(t, page)
	for _, want := range []string{"app.example.test/things/7<", fmt.Sprintf("%d bytes", len(body)), "form (application/x-www-form-urlencoded)", `name="vilogate_kept" value="` + id, `action="https://app.example.test/things/7?q=(a)&#39;b"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in %s", want, shown)
		}
	}
	if strings.Contains(shown, "note") || strings.Contains(shown, "%E2") || page.Header.Get("Cache-Control") != "no-store" || page.Header.Get("Referrer-Policy") != "strict-origin" {
		t.Errorf("%v %s", page.Header, shown)
	}
	button := "vilogate_kept=" + id
	sent := s.post("/things/7?q=(a)'b", button, again, urlEncoded)
	wantStatus(t, sent, 200)
	s.mu.Lock()
	if got := s.received[0].Header["Cookie"]; len(got) != 1 || got[0] != "mine=1" {
		t.Errorf("the backend got the cookies %q", got)
	}
	if len(s.bodies) != 1 || s.bodies[0] != body || "Content-Type: "+s.received[0].Header.Get("Content-Type") != contentType || s.received[0].RequestURI != "/things/7?q=(a)'b" || s.received[0].ContentLength != int64(len(body)) {
		t.Errorf("the backend got %q of %v", s.bodies, s.received)
	}
	s.mu.Unlock()
	if got := strings.Join(sent.Header["Set-Cookie"], "\n"); !strings.Contains(got, keptCookie+id+"=; Path=/; Max-Age=0") {
		t.Errorf("the cookie stays: %s", got)
	}
	s.reached()
	wantStatus(t, s.post("/things/7?q=(a)'b", button, again, urlEncoded), http.StatusGone)
	wantStatus(t, s.ask("GET", "/.vilogate/kept?id="+id, again), http.StatusGone)
	if s.reached() != nil {
		t.Error("it was sent twice")
	}
	if got, want := strings.Join(records.records, ", "), fmt.Sprintf("login %d 0, own 0 0, allow 0 %d, own 0 0, own 0 0", len(body), len(body)); got != want {
		t.Errorf("the audit log has %s, want %s", got, want)
	}
	if log := s.log.String(); strings.Contains(log, "note=") || !strings.Contains(log, fmt.Sprintf(`"kept":%d`, len(body))) || !strings.Contains(log, fmt.Sprintf(`"kept_sent":%d`, len(body))) {
		t.Errorf("the log: %s", log)
	}
}

func TestAKeptPostIsItsSendersAlone(t *testing.T) {
	s, ended := keepingSite(t)
	id, cookie := keptOf(t, s.post("/x", "a=1", ended, urlEncoded))
	sso := func(subject string) string {
		g := s.grant()
		g.Subject, g.Session = subject, "s-"+subject
		return "Cookie: __Secure-sso=" + s.sign(g)
	}
	alice, bob := sso("u-1"), sso("u-2")
	button := "vilogate_kept=" + id
	for name, resp := range map[string]*http.Response{
		"another browser's page":   s.ask("GET", "/.vilogate/kept?id="+id, alice),
		"another browser's button": s.post("/x", button, alice+"; "+keptCookie+id+"=guessed", urlEncoded),
		"another post's cookie":    s.ask("GET", "/.vilogate/kept?id="+strings.Repeat("A", 26), alice+"; "+keptCookie+strings.Repeat("A", 26)+cookie[strings.Index(cookie, "="):]),
	} {
		if resp.StatusCode != http.StatusGone {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	wantStatus(t, s.post("/y", button, alice+"; "+cookie, urlEncoded), http.StatusBadRequest)
	if resp := s.ask("GET", "/.vilogate/kept?id="+id, cookie[:0]+"Cookie: "+cookie, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"); resp.StatusCode != http.StatusFound || !strings.HasSuffix(resp.Header.Get("Location"), "kept%3Fid%3D"+id) {
		t.Errorf("nobody signed in: %d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	if page := text(t, s.post("/x", button, ended+"; "+cookie, urlEncoded)); !strings.Contains(page, "kept%3Fid%3D"+id) || !strings.Contains(page, "still kept") {
		t.Errorf("the button of somebody whose session has ended: %s", page)
	}
	if page := text(t, s.askHost("app.example.test", "POST", "/x", button, alice+"; "+cookie, urlEncoded, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")); !strings.Contains(page, "did not come from a page of this site") || !strings.Contains(page, "still kept") {
		t.Errorf("another site's button: %s", page)
	}
	other := s.ask("GET", "/.vilogate/kept?id="+id, bob+"; "+cookie, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	if page := text(t, other); other.StatusCode != http.StatusForbidden || !strings.Contains(page, "somebody else") {
		t.Errorf("another person: %d %s", other.StatusCode, page)
	}
	wantStatus(t, s.ask("GET", "/.vilogate/kept?id="+id, alice+"; "+cookie), http.StatusGone)
	id, cookie = keptOf(t, s.post("/x", "a=1", ended, urlEncoded))
	wantStatus(t, s.post("/x", "vilogate_kept="+id, bob+"; "+cookie, urlEncoded), http.StatusForbidden)
	wantStatus(t, s.post("/x", "vilogate_kept="+id, alice+"; "+cookie, urlEncoded), http.StatusGone)
	if s.reached() != nil {
		t.Error("something was sent")
	}
}

// Who signs out in one window sends the form of another one, without an SSO cookie: it is kept for them, for ten minutes.
func TestAFormOfWhoHasSignedOutIsKept(t *testing.T) {
	s, ended := keepingSite(t)
	sso := func(subject, session string) string {
		g := s.grant()
		g.Subject, g.Session, g.ID = subject, session, "t-"+session
		return "Cookie: __Secure-sso=" + s.sign(g)
	}
	alice, bob := sso("u-1", "s-next"), sso("u-2", "s-other")
	var left string
	for _, line := range s.post("/.vilogate/logout", "", sso("u-1", "s-left")+"; jwt="+s.legacy("alice")).Header["Set-Cookie"] {
		if strings.HasPrefix(line, signedOutCookie+"=") {
			if !strings.HasSuffix(line, "; Domain=example.test; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax") || strings.Contains(line, "u-1") {
				t.Errorf("the cookie %s", line)
			}
			left, _, _ = strings.Cut(line, ";")
		}
	}
	if left == "" {
		t.Fatal("the sign-out sets no cookie")
	}
	id, cookie := keptOf(t, s.post("/x", "a=1", "Cookie: "+left, urlEncoded))
	wantStatus(t, s.ask("GET", "/.vilogate/kept?id="+id, bob+"; "+left+"; "+cookie), http.StatusForbidden)
	id, cookie = keptOf(t, s.post("/x", "a=1", "Cookie: "+left+"; "+signedOutCookie+"=x", urlEncoded))
	sent := s.post("/x", "vilogate_kept="+id, alice+"; "+left+"; "+cookie, urlEncoded)
	wantStatus(t, sent, 200)
	if got := strings.Join(sent.Header["Set-Cookie"], "\n"); !strings.Contains(got, signedOutCookie+"=; Domain=example.test; Path=/; Max-Age=0") {
		t.Errorf("the cookie stays: %s", got)
	}
	s.mu.Lock()
	if len(s.bodies) != 1 || s.bodies[0] != "a=1" || len(s.received[0].Header["Cookie"]) > 0 {
		t.Errorf("the backend got %q of %v", s.bodies, s.received)
	}
	s.mu.Unlock()
	// The session of an SSO cookie counts before it.
	id, cookie = keptOf(t, s.post("/x", "a=2", strings.Replace(ended, "Cookie: ", "Cookie: "+left+"; ", 1), urlEncoded))
	wantStatus(t, s.post("/x", "vilogate_kept="+id, alice+"; "+cookie, urlEncoded), 200)
	if page := notKept(t, s.post("/x", "a=1", "Cookie: "+left+"x", urlEncoded), 401); !strings.Contains(page, "reload this page") {
		t.Errorf("with a cookie that somebody made up: %s", page)
	}
	s.now = s.now.Add(posts.Lifetime)
	notKept(t, s.post("/x", "a=1", "Cookie: "+left, urlEncoded), 401)
}

func TestAKeptPostIsThrownAwayByItsSender(t *testing.T) {
	s, ended := keepingSite(t)
	id, cookie := keptOf(t, s.post("/x", "a=1", ended, urlEncoded))
	alice := "Cookie: __Secure-sso=" + s.sign(s.grant()) + "; " + cookie
	if resp := s.askHost("app.example.test", "POST", "/.vilogate/kept?id="+id, "", alice, "Origin: https://evil.example"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another site throws it away: %d", resp.StatusCode)
	}
	dropped := s.post("/.vilogate/kept?id="+id, "", alice, urlEncoded)
	if page := text(t, dropped); dropped.StatusCode != 200 || !strings.Contains(page, "thrown away") || !strings.Contains(page, "https://app.example.test/") {
		t.Errorf("%d %s", dropped.StatusCode, page)
	}
	wantStatus(t, s.post("/x", "vilogate_kept="+id, alice, urlEncoded), http.StatusGone)
	if s.reached() != nil {
		t.Error("it was sent")
	}
}

func TestWhatIsNotKept(t *testing.T) {
	s, ended := keepingSite(t)
	forged := ended + "x"
	long := strings.Repeat("x", 1<<10+1)
	if page := notKept(t, s.post("/x", long, ended, urlEncoded), 401); !strings.Contains(page, "more than 1KiB") {
		t.Errorf("what is too long: %s", page)
	}
	for name, resp := range map[string]*http.Response{
		"a fetch":               s.askHost("app.example.test", "POST", "/x", "a=1", ended, urlEncoded, "Origin: https://app.example.test", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: text/html"),
		"an XMLHttpRequest":     s.askHost("app.example.test", "POST", "/x", "a=1", ended, urlEncoded, "Origin: https://app.example.test", "X-Requested-With: XMLHttpRequest", "Accept: text/html"),
		"a frame's form":        s.askHost("app.example.test", "POST", "/x", "a=1", ended, urlEncoded, "Origin: https://app.example.test", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
		"a sibling host's form": s.askHost("app.example.test", "POST", "/x", "a=1", ended, urlEncoded, "Origin: https://evil.example.test", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
		"no cookie":             s.post("/x", "a=1", urlEncoded),
		"a cookie of nobody's":  s.post("/x", "a=1", forged, urlEncoded),
		"two sessions' cookies": s.post("/x", "a=1", ended+"; __Secure-sso="+s.sign(s.grant()), ended, urlEncoded),
		"JSON":                  s.post("/x", "{}", ended, "Content-Type: application/json"),
		"text":                  s.post("/x", "a=1", ended, "Content-Type: text/plain"),
		"compressed":            s.post("/x", "a=1", ended, urlEncoded, "Content-Encoding: gzip"),
		"PUT":                   s.askHost("app.example.test", "PUT", "/x", "a=1", slices.Concat(formNavigation, []string{ended, urlEncoded})...),
		"a Bearer token":        s.post("/x", "a=1", ended, urlEncoded, "Authorization: Bearer eyJ.e30.x"),
	} {
		t.Run(name, func(t *testing.T) { notKept(t, resp, 401) })
	}
	if s.reached() != nil {
		t.Error("something was forwarded")
	}
}

func TestEightPostsOfABrowserAreKeptForTenMinutes(t *testing.T) {
	s, ended := keepingSite(t)
	var cookies []string
	for i := range posts.PerBrowser {
		_, cookie := keptOf(t, s.post("/x", fmt.Sprintf("a=%d", i), ended, urlEncoded))
		cookies = append(cookies, cookie)
	}
	if page := notKept(t, s.post("/x", "a=9", ended, urlEncoded), 401); !strings.Contains(page, "too much is kept already") || !strings.Contains(page, "reload this page") {
		t.Errorf("the ninth: %s", page)
	}
	g := s.grant()
	g.Session, g.ID = "s-other", "t-other"
	s.revoked.entries = append(s.revoked.entries, revocation.Entry{Kind: revocation.Session, ID: "s-other"})
	keptOf(t, s.post("/x", "a=1", "Cookie: __Secure-sso="+s.sign(g), urlEncoded))
	shows := func(cookie string) int {
		id := cookie[len(keptCookie):strings.Index(cookie, "=")]
		return s.ask("GET", "/.vilogate/kept?id="+id, "Cookie: __Secure-sso="+s.sign(s.grant())+"; "+cookie).StatusCode
	}
	s.now = s.now.Add(posts.Lifetime - time.Second)
	if got := shows(cookies[0]); got != 200 {
		t.Errorf("after nearly ten minutes: %d", got)
	}
	s.now = s.now.Add(time.Second)
	for _, cookie := range cookies {
		if got := shows(cookie); got != http.StatusGone {
			t.Errorf("after ten minutes: %d", got)
		}
	}
	expired, err := s.key.SignAccess(s.grant())
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(2 * time.Hour)
	keptOf(t, s.post("/x", "a=1", "Cookie: __Secure-sso="+expired, urlEncoded))
}

// A form that looks like the kept page's, and is not, reaches the backend as it is.
func TestAFormOfTheSameLengthIsNobodys(t *testing.T) {
	s, ended := keepingSite(t)
	_, cookie := keptOf(t, s.post("/x", "a=1", ended, urlEncoded))
	alice := "Cookie: __Secure-sso=" + s.sign(s.grant()) + "; " + cookie
	body := "note=" + strings.Repeat("y", keptBodyLength-len("note="))
	wantStatus(t, s.post("/x", body, alice, urlEncoded), 200)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bodies) != 1 || s.bodies[0] != body {
		t.Errorf("the backend got %q", s.bodies)
	}
}

// What the policy reads of a kept post is what the backend gets of it.
func TestAKeptPostIsDecidedOnAsItIs(t *testing.T) {
	policy := `
host: app.example.test
upstream: app
routes:
  - { path: /files, methods: [POST], allow: { when: 'request.headers["content-type"].startsWith("multipart/")' } }
  - { path: /small, methods: [POST], allow: authenticated, max_body: 100 }
  - { path: /fresh, methods: [POST], allow: { max_age: 5m } }
`
	s, ended := keepingSite(t, func(settings *Settings) { settings.Policies = compile(t, policy) })
	const contentType = "Content-Type: multipart/form-data; boundary=b"
	id, cookie := keptOf(t, s.post("/files", "--b--", ended, contentType))
	alice := "Cookie: __Secure-sso=" + s.sign(s.grant())
	wantStatus(t, s.post("/files", "vilogate_kept="+id, alice+"; "+cookie, urlEncoded), 200)
	if got := s.reached(); got == nil || got.Header.Get("Content-Type") != contentType[len("Content-Type: "):] {
		t.Errorf("the backend got %v", got)
	}
	if page := notKept(t, s.post("/small", strings.Repeat("x", 101), ended, urlEncoded), 401); !strings.Contains(page, "more than 100") {
		t.Errorf("longer than max_body: %s", page)
	}
	g := s.grant()
	g.AuthTime = s.now.Add(-time.Hour)
	id, cookie = keptOf(t, s.post("/fresh", "a=1", "Cookie: __Secure-sso="+s.sign(g), urlEncoded))
	wantStatus(t, s.post("/fresh", "vilogate_kept="+id, alice+"; "+cookie, urlEncoded), 200)
}

// A post that was not sent, since nobody listens at the upstream or the audit log cannot be written, is not lost.
func TestAKeptPostThatCannotBeSentIsStillKept(t *testing.T) {
	s, ended := keepingSite(t)
	id, cookie := keptOf(t, s.post("/x", "a=1", ended, urlEncoded))
	alice := "Cookie: __Secure-sso=" + s.sign(s.grant()) + "; " + cookie
	s.gateway.opts.Audit = &auditSpy{fail: errors.New("full")}
	if page := text(t, s.post("/x", "vilogate_kept="+id, alice, urlEncoded)); !strings.Contains(page, "still kept") {
		t.Errorf("the audit log is full: %s", page)
	}
	s.gateway.opts.Audit = nil
	address := s.backend.Listener.Addr().String()
	s.backend.Close()
	down := s.post("/x", "vilogate_kept="+id, alice, urlEncoded)
	if page := text(t, down); down.StatusCode != http.StatusBadGateway || !strings.Contains(page, "still kept") {
		t.Errorf("nobody listens at %s: %d %s", address, down.StatusCode, page)
	}
	if cookies := down.Header["Set-Cookie"]; !strings.HasPrefix(cookies[len(cookies)-1], cookie+"; Path=/; Max-Age=600") {
		t.Errorf("the cookie: %q", cookies)
	}
	wantStatus(t, s.ask("GET", "/.vilogate/kept?id="+id, alice), 200)
}

// auditSpy is an audit log that remembers how much was kept and sent, or one that cannot be written.
type auditSpy struct {
	fail    error
	records []string
}

func (a *auditSpy) Put(r *audit.Record) error {
	a.PutBestEffort(r)
	return a.fail
}

func (a *auditSpy) PutBestEffort(r *audit.Record) {
	a.records = append(a.records, fmt.Sprintf("%s %d %d", r.Decision, r.Kept, r.KeptSent))
}

func (*auditSpy) PutEventBestEffort(*audit.Event) {}

// A body without a length, which the edge holds to no rate, is not waited for for ever.
func TestABodyThatIsToBeKeptHasATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &exchange{received: received{r: &http.Request{Body: stalledBody{make(chan struct{})}, ContentLength: -1}}}
		began := time.Now()
		if _, err := x.receiveBody(10); err == nil || time.Since(began) != receiveTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// stalledBody is a body of which nothing comes until it is interrupted.
type stalledBody struct{ interrupted chan struct{} }

func (b stalledBody) Read([]byte) (int, error) {
	<-b.interrupted
	return 0, http.ErrBodyReadAfterClose
}

func (b stalledBody) Interrupt() error {
	close(b.interrupted)
	return nil
}

func (b stalledBody) Close() error { return nil }
