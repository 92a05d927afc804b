package idp

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/viloforge/vilogate/gateway/audit"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"

// with has a browser call itself so.
func (c *client) with(userAgent string) *client {
	c.header.Set("User-Agent", userAgent)
	return c
}

// recorder keeps records in memory.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *recorder) PutEvent(e *audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, *e)
	return nil
}

func (r *recorder) PutEventBestEffort(e *audit.Event) { _ = r.PutEvent(e) }

func (r *recorder) last() audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
}

// session is the id of the client's own session.
func (c *client) session(w *world) string { return w.claims(c.cookie(ssoCookie)).Session() }

// row is what the account page says of a session; "" where it does not list it.
func (a answer) row(tb testing.TB, id string) string {
	tb.Helper()
	root, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		tb.Fatal(err)
	}
	for node := range root.Descendants() {
		if at, ok := attribute(node, "id"); ok && at == "session-"+id {
			var text strings.Builder
			for inner := range node.Parent.Descendants() {
				if inner.Type == html.TextNode {
					text.WriteString(inner.Data + " ")
				}
			}
			return strings.Join(strings.Fields(text.String()), " ")
		}
	}
	return ""
}

func (c *client) endOne(tb testing.TB, id string) answer {
	tb.Helper()
	return c.submit(c.get("/account").form(tb, "do=end"), "session", id)
}

func TestTheAccountPageListsSessionsInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().with(firefox).login("alice")
	began := w.clock.now().UTC().Format("2 January 2006, 15:04")
	if page := c.get("/account"); strings.Contains(page.body, "End ") {
		t.Error("there is something to end where there is one session")
	}
	w.clock.advance(10 * time.Minute)
	other := w.client().with("curl/8.17.0").login("alice")
	w.add("bob")
	bob := w.client().login("bob")
	page := c.get("/account")
	mine, others := page.row(t, c.session(w)), page.row(t, other.session(w))
	used := w.clock.now().UTC().Format("2 January 2006, 15:04")
	for _, want := range []string{"Firefox on Linux", "this one", "new", "Signed in " + began + " UTC", "Last used " + used + " UTC", "From 127.0.0.1"} {
		if !strings.Contains(mine, want) {
			t.Errorf("this one is %q, which lacks %q", mine, want)
		}
	}
	if !strings.HasPrefix(others, "Unknown browser new") || !strings.HasSuffix(others, "End this session") || strings.Contains(others, "curl") || strings.Contains(mine, "End") {
		t.Errorf("the other is %q, this one %q", others, mine)
	}
	if page.row(t, bob.session(w)) != "" {
		t.Error("alice sees a session of bob's")
	}
}

// TestNothingThatABrowserSaysOfItselfStandsInThePage: neither as markup nor as words.
func TestNothingThatABrowserSaysOfItselfStandsInThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	for _, hostile := range []string{
		`"><script>alert(1)</script> (Linux) Firefox/145`, `Firefox/145 (Windows NT <img src=x onerror=alert(1)>)`, `{{.User}}alert(1)`,
		strings.Repeat("x", 200) + `<script>alert(1)`, "alert(1)\xff\xfe" + strings.Repeat("é", 300), "\u202ealert(1)",
	} {
		w.client().with(hostile).login("alice")
		if page := c.get("/account"); strings.Contains(page.body, "alert(1)") || strings.Contains(page.body, "xxxx") {
			t.Errorf("%q:\n%s", hostile, page.body)
		}
	}
	sessions, err := w.admin.Sessions(t.Context(), "alice")
	if err != nil || len(sessions) != 7 {
		t.Fatalf("%d sessions, %v", len(sessions), err)
	}
	for _, s := range sessions {
		if len(s.UserAgent) > maxUserAgent {
			t.Errorf("%d bytes are kept of %q", len(s.UserAgent), s.UserAgent)
		}
	}
}

func TestEndingOneSessionLeavesTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ended, kept := w.client().login("alice"), w.client().login("alice"), w.client().login("alice")
	token, id := w.claims(ended.cookie(ssoCookie)), ended.session(w)
	got := c.endOne(t, id)
	if got.status != http.StatusSeeOther || got.location() != "/account?ended="+id {
		t.Fatalf("%d to %q\n%s", got.status, got.location(), got.body)
	}
	if page := c.get(got.location()); !strings.Contains(page.body, `role="status">That session is over.`) || page.row(t, id) != "" {
		t.Errorf("%d\n%s", page.status, page.body)
	}
	if page := c.get("/account?ended=" + kept.session(w)); strings.Contains(page.body, `role="status"`) {
		t.Error("a session that lives is said to be over")
	}
	if !w.list.revoked(token) || ended.get("/account").status != http.StatusFound || ended.get("/login").status != http.StatusOK {
		t.Error("the session goes on")
	}
	for name, other := range map[string]*client{"this one": c, "a third": kept} {
		if w.list.revoked(w.claims(other.cookie(ssoCookie))) || other.get("/account").status != http.StatusOK {
			t.Errorf("%s is over too", name)
		}
	}
	if got := c.endOne(t, id); got.status != http.StatusNotFound || !strings.Contains(got.body, `role="alert"`) {
		t.Errorf("once more: %d", got.status)
	}
	own := c.cookie(ssoCookie)
	if got := c.endOne(t, c.session(w)); got.location() != "/logout?done" || !w.list.revoked(w.claims(own)) || c.cookie(ssoCookie) != "" {
		t.Errorf("the own session: %d to %q", got.status, got.location())
	}
}

func TestEndingAllOtherSessionsLeavesThisOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("bob")
	idle, bob := w.client().login("alice"), w.client().login("bob")
	w.clock.advance(w.idp.o.SessionIdle + time.Minute) // the list is kept past the idle timeout, and so may be a token's end
	c, one, two := w.client().login("alice"), w.client().login("alice"), w.client().login("alice")
	ended := []string{one.session(w), two.session(w)}
	var idleID string
	if err := w.db.SQL().QueryRowContext(t.Context(), "SELECT id FROM sessions WHERE user_id = ? ORDER BY auth_time LIMIT 1", w.alice.ID).Scan(&idleID); err != nil {
		t.Fatal(err)
	}
	got := c.submit(c.get("/account").form(t, "do=others"))
	if got.status != http.StatusSeeOther || got.location() != "/account?ended=others" {
		t.Fatalf("%d to %q\n%s", got.status, got.location(), got.body)
	}
	if page := c.get(got.location()); !strings.Contains(page.body, "Your other sessions are over.") {
		t.Errorf("%d\n%s", page.status, page.body)
	}
	for _, id := range append(ended, idleID) {
		if !w.list.SessionRevoked("vilogate", id) {
			t.Errorf("%s is not revoked", id)
		}
	}
	if w.list.revoked(w.claims(c.cookie(ssoCookie))) || c.get("/account").status != http.StatusOK {
		t.Error("this session is over too")
	}
	if idle.get("/account").status != http.StatusFound {
		t.Error("an idle session came back")
	}
	if sid := bob.cookie(ssoCookie); sid == "" || len(w.list.entries) != 3 {
		t.Errorf("%d were revoked", len(w.list.entries))
	}
	w.client().login("alice")
	if page := c.get("/account?ended=others"); strings.Contains(page.body, `role="status"`) {
		t.Error("there is another session, and the page says that there is none")
	}
}

func TestNobodyEndsASessionOfSomebodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("mallory")
	alice, mallory := w.client().login("alice"), w.client().login("mallory")
	w.client().login("mallory") // so that there is something to end
	for name, id := range map[string]string{"alice's": alice.session(w), "none": "", "nobody's": "nobody", "any": "%' OR '1'='1"} {
		if got := mallory.endOne(t, id); got.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if len(w.list.entries) > 0 || alice.get("/account").status != http.StatusOK {
		t.Errorf("something was revoked: %v", w.list.entries)
	}
}

func TestAnOldLoginEndsNoSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := w.client().login("alice"), w.client().login("alice")
	id := other.session(w)
	back := "https://website.viloforge.test/invoices"
	account := "/account?redirect_uri=" + url.QueryEscape(back)
	w.clock.advance(recentLogin + time.Second)
	again := "/login?redirect_uri=" + url.QueryEscape(loginAt+account) + "&max_age=900"
	page := c.get(account)
	if !strings.Contains(page.body, "asked for your password first") {
		t.Error("the page does not say so")
	}
	for _, do := range []string{"do=end", "do=others"} {
		if got := c.submit(page.form(t, do), "session", id); got.status != http.StatusSeeOther || got.location() != loginAt+again {
			t.Errorf("%s: %d to %q, want %q", do, got.status, got.location(), again)
		}
	}
	if len(w.list.entries) > 0 {
		t.Fatalf("something was revoked: %v", w.list.entries)
	}
	form := c.get(again)
	if form.status != http.StatusOK || !strings.Contains(form.body, "Sign in again") {
		t.Fatalf("%d\n%s", form.status, form.body)
	}
	got := c.submit(form.form(t, "username"), "username", "alice", "password", secret)
	if got.status != http.StatusSeeOther || got.location() != account {
		t.Fatalf("%d to %q", got.status, got.location())
	}
	got = c.submit(c.get(account).form(t, "do=end"), "session", id)
	if got.location() != account+"&ended="+id || !w.list.SessionRevoked("vilogate", id) {
		t.Errorf("after the login: %d to %q", got.status, got.location())
	}
}

func TestASessionThatCannotBeRevokedIsNotCalledOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := w.client().login("alice"), w.client().login("alice")
	w.list.set(func(l *list) { l.broken = true })
	for _, do := range []string{"do=end", "do=others"} {
		got := c.submit(c.get("/account").form(t, do), "session", other.session(w))
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "is over") {
			t.Errorf("%s: %d\n%s", do, got.status, got.body)
		}
	}
	w.list.set(func(l *list) { l.broken = false })
	if other.get("/account").status != http.StatusOK {
		t.Error("the session is over")
	}
}

// TestANewBrowserIsNotedUntilItIsOld: and a second login does not hide that there was a first.
func TestANewBrowserIsNotedUntilItIsOld(t *testing.T) {
	t.Parallel()
	records := &recorder{}
	w := newWorld(t, func(o *Options) { o.Audit = records })
	isNew := func(c *client) bool {
		return strings.Contains(c.get("/account").row(t, c.session(w)), " new ")
	}
	c := w.client().login("alice")
	if !isNew(c) || !records.last().NewDevice || !strings.Contains(w.log.String(), "new_device=true") {
		t.Error("the first login is not noted")
	}
	c.submit(c.get("/logout").form(t, csrfField))
	if c.login("alice"); !isNew(c) || records.last().NewDevice {
		t.Errorf("a second login of a new browser: %+v", records.last())
	}
	w.clock.advance(newDeviceFor + time.Second)
	if c.login("alice"); isNew(c) || records.last().NewDevice {
		t.Error("it is new for ever")
	}
	if stranger := w.client().login("alice"); !isNew(stranger) || !records.last().NewDevice {
		t.Error("another browser is not new")
	}
	w.add("bob")
	if c.try("/login?prompt=select_account", "bob", secret); !isNew(c) || !records.last().NewDevice {
		t.Error("a browser that another account knows is not new to this one")
	}
	if err := w.admin.SetPassword(t.Context(), "alice", next); err != nil {
		t.Fatal(err)
	}
	if c.try("/login?prompt=select_account", "alice", next); isNew(c) || records.last().User != "alice" || records.last().NewDevice {
		t.Errorf("a browser is new after another password: %+v", records.last())
	}
}

func TestEndedSessionsAreRecorded(t *testing.T) {
	t.Parallel()
	records := &recorder{}
	w := newWorld(t, func(o *Options) { o.Audit = records })
	c, one, two := w.client().login("alice"), w.client().login("alice"), w.client().login("alice")
	w.list.set(func(l *list) { l.broken = true })
	c.endOne(t, one.session(w))
	if e := records.last(); e.Event != audit.EventLogout || e.Result != audit.Failure || e.Session != one.session(w) {
		t.Errorf("a session that could not be ended: %+v", e)
	}
	w.list.set(func(l *list) { l.broken = false })
	c.endOne(t, one.session(w))
	if e := records.last(); e.Event != audit.EventLogout || e.Result != audit.Success || e.Session != one.session(w) || e.Actor == nil || e.Actor.Session != c.session(w) || e.User != "alice" {
		t.Errorf("one: %+v", e)
	}
	c.submit(c.get("/account").form(t, "do=others"))
	if e := records.last(); e.Session != two.session(w) || e.Actor == nil || e.Actor.Session != c.session(w) {
		t.Errorf("the others: %+v", e)
	}
}

// TestTheListOfSessionsIsBounded: by what a user may have.
func TestTheListOfSessionsIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.idp.directory.findAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for range maxSessions + 5 {
		w.clock.advance(time.Second)
		if _, err := w.idp.directory.createSession(t.Context(), sessionParams{account: a, amr: []string{amrPassword}, userAgent: strings.Repeat("x", 1000), max: time.Hour, tokenTTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	c := w.client().login("alice")
	page := c.get("/account")
	if n := strings.Count(page.body, "<li>"); n != maxSessions || len(page.body) > 128<<10 {
		t.Errorf("%d sessions in %d bytes", n, len(page.body))
	}
	if got := c.submit(page.form(t, "do=others")); got.location() != "/account?ended=others" || strings.Count(c.get("/account").body, "<li>") != 1 {
		t.Errorf("%d to %q", got.status, got.location())
	}
}
