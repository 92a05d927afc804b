package idp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

func TestALoginReturnsWithCookiesThatSayWhoItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client()
	back := "https://website.viloforge.test/deep/link?a=%2F&b=1;c"
	page := c.get("/login?redirect_uri=" + url.QueryEscape(back))
	got := c.submit(page.form(t, "username"), "username", "alice", "password", secret)
	if got.status != http.StatusSeeOther || got.location() != back {
		t.Fatalf("%d to %q\n%s", got.status, got.location(), got.body)
	}
	set := got.setCookies(t)
	sso, session := set[ssoCookie+"@"+domain], set[sessionCookie]
	device := set[deviceCookie]
	if sso == nil || session == nil || device == nil || len(set) != 3 {
		t.Fatalf("cookies %q", got.header.Values("Set-Cookie"))
	}
	for _, cookie := range []*http.Cookie{sso, session} {
		if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" {
			t.Errorf("%v", cookie)
		}
		if age := time.Duration(cookie.MaxAge) * time.Second; age > 30*24*time.Hour || age < 30*24*time.Hour-time.Minute {
			t.Errorf("%s lives %v, want as long as the session", cookie.Name, age)
		}
	}
	claims := w.claims(sso.Value)
	if claims.User() != "alice" || claims.Subject() != w.alice.ID || claims.Email() != "alice@viloforge.test" || claims.Name() != "Alice" ||
		!slices.Equal(claims.Roles(), []string{"member"}) || !slices.Equal(claims.AMR(), []string{"pwd"}) || claims.Session() == "" || claims.ID() == "" {
		t.Errorf("%+v", claims)
	}
	if life := claims.Expires().Sub(claims.IssuedAt()); life != 15*time.Minute {
		t.Errorf("the token lives %v", life)
	}
	if strings.Contains(w.log.String(), secret) || strings.Contains(w.log.String(), sso.Value) || strings.Contains(w.log.String(), session.Value) || strings.Contains(w.log.String(), device.Value) {
		t.Errorf("a secret is in the log:\n%s", w.log)
	}
}

func TestWhoHasASessionComesBackWithoutAPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	first := w.claims(c.cookie(ssoCookie))
	w.clock.advance(20 * time.Minute) // the token has run out
	for _, path := range []string{"/login", "/"} {
		got := c.get(path + "?redirect_uri=" + url.QueryEscape("https://website.viloforge.test/x"))
		if got.status != http.StatusSeeOther || got.location() != "https://website.viloforge.test/x" {
			t.Fatalf("%s: %d to %q\n%s", path, got.status, got.location(), got.body)
		}
		claims := w.claims(c.cookie(ssoCookie))
		if claims.ID() == first.ID() || claims.Session() != first.Session() || !claims.AuthTime().Equal(first.AuthTime()) {
			t.Errorf("%s: %+v after %+v", path, claims, first)
		}
	}
	if got := c.get("/login"); got.status != http.StatusSeeOther || got.location() != "/account" {
		t.Errorf("without an address: %d to %q", got.status, got.location())
	}
	if got := c.do(http.MethodHead, "/login", ""); got.status != http.StatusSeeOther {
		t.Errorf("HEAD: %d", got.status)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]struct {
		away  time.Duration
		times int
		lives bool
	}{
		"used now and then":      {7 * time.Hour, 5, true},
		"not used for too long":  {9 * time.Hour, 1, false},
		"after its absolute end": {7 * time.Hour, 30 * 24 / 7, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.client().login("alice")
			end := w.clock.now().Add(30 * 24 * time.Hour)
			var got answer
			for range step.times {
				w.clock.advance(step.away)
				got = c.get("/login")
			}
			if lives := got.status == http.StatusSeeOther; lives != step.lives {
				t.Fatalf("%d\n%s", got.status, got.body)
			}
			if !step.lives {
				return
			}
			if claims := w.claims(c.cookie(ssoCookie)); claims.Expires().After(end) {
				t.Errorf("a token outlives its session: %v after %v", claims.Expires(), end)
			}
			w.clock.advance(end.Sub(w.clock.now()) - 2*time.Second)
			if got := c.get("/login"); got.status == http.StatusSeeOther {
				if claims := w.claims(c.cookie(ssoCookie)); claims.Expires().After(end) {
					t.Errorf("the last token outlives its session: %v after %v", claims.Expires(), end)
				}
			}
			w.clock.advance(3 * time.Second)
			if got := c.get("/login"); got.status != http.StatusOK {
				t.Errorf("after its absolute end: %d", got.status)
			}
			if err := w.idp.directory.purge(t.Context()); err != nil {
				t.Error(err)
			}
			var left int
			if err := w.db.SQL().QueryRowContext(t.Context(), "SELECT count(*) FROM sessions").Scan(&left); err != nil || left != 0 {
				t.Errorf("%d sessions are left (%v)", left, err)
			}
		})
	}
}

func TestARevokedSessionCountsAsEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	sid := w.claims(c.cookie(ssoCookie)).Session()
	w.list.set(func(l *list) { l.sessions[sid] = true }) // by a gateway
	got := c.get("/login")
	if got.status != http.StatusOK || c.cookie(sessionCookie) != "" {
		t.Errorf("%d, session %q", got.status, c.cookie(sessionCookie))
	}
	if got := c.get("/account"); got.status != http.StatusFound {
		t.Errorf("/account: %d", got.status)
	}
}

func TestTheWordsAndTheWorkAreTheSameForWhoDoesNotExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("gone")
	w.add("deleted")
	if err := w.admin.Disable(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	if err := w.admin.Delete(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	varying := regexp.MustCompile(`value="[^"]*"`)
	words := map[string]string{}
	for _, test := range []struct{ user, password string }{
		{"alice", "wrong"},
		{"nobody", "wrong"},
		{"gone", "wrong"},
		{"gone", secret},
		{"deleted", secret},
		{"not a name", "wrong"},
		{"", ""},
		{"alice", ""},
		{"alice", strings.Repeat("x", 5000)},
		{"alice' OR 1=1 --", "x"},
		{"alice\x00", secret},
		{"аlice", secret},
	} {
		got := w.client().try("/login", test.user, test.password)
		if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q with %.10q: %d", test.user, test.password, got.status)
		}
		words[varying.ReplaceAllString(got.body, "")] = test.user
		if !strings.Contains(got.body, `role="alert"`) || !strings.Contains(got.body, msgBadCredentials) {
			t.Errorf("%q: no error to be seen:\n%s", test.user, got.body)
		}
	}
	// The field that is to be filled in next has the focus, and an empty name is the one exception.
	if len(words) > 2 {
		t.Errorf("%d different answers", len(words))
	}
	if failed := strings.Count(w.log.String(), "login failed"); failed != 12 {
		t.Errorf("%d of 12 failures were logged", failed)
	}
}

func TestEverySpellingOfAnAccountHasOneCounter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.LoginLimits.PerAccount = gcra.Rate{Events: 4, Per: time.Minute} })
	w.add("bob")
	c := w.client()
	for i, spelling := range []string{"alice", "ALICE", " alice ", "\u00a0aLiCe\t"} {
		if got := c.try("/login", spelling, "wrong"); got.status != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, got.status)
		}
	}
	for _, spelling := range []string{"Alice", "alice", "alice\n"} { // a minute each, however fast the quota is
		got := c.try("/login", spelling, secret)
		if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "60" {
			t.Errorf("%q: %d, Retry-After %q; want 429 and 60", spelling, got.status, got.header.Get("Retry-After"))
		}
		got.form(t, "username", "password") // the form again
	}
	if got := c.try("/login", "bob", secret); got.status != http.StatusSeeOther {
		t.Errorf("bob pays for alice: %d", got.status)
	}
	w.clock.advance(time.Minute)
	if got := w.client().try("/login", "alice", secret); got.status != http.StatusSeeOther {
		t.Errorf("after waiting: %d", got.status)
	}
}

func TestAnAddressIsSlowedDownWhateverNamesItTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.LoginLimits.PerAddress = gcra.Rate{Events: 6, Per: time.Minute} })
	for range 10 {
		w.client().login("alice") // successes are not counted
	}
	c := w.client()
	for i := range 6 {
		if got := c.try("/login", fmt.Sprint("somebody", i), "x"); got.status != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, got.status)
		}
	}
	if got := c.try("/login", "somebody-else", "x"); got.status != http.StatusTooManyRequests {
		t.Errorf("the seventh: %d", got.status)
	}
}

func TestManyAttemptsAtOnceAreNoWayAroundTheCounter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.LoginLimits.PerAccount = gcra.Rate{Events: 5, Per: time.Hour} })
	c := w.client()
	f := c.get("/login").form(t, "username")
	var mu sync.Mutex
	statuses := map[int]int{}
	var group sync.WaitGroup
	for i := range 40 {
		f := form{f.at, url.Values{"username": {"alice"}, "password": {fmt.Sprint("wrong", i)}, csrfField: f.fields[csrfField]}}
		group.Go(func() {
			got := c.submit(f)
			mu.Lock()
			defer mu.Unlock()
			statuses[got.status]++
		})
	}
	group.Wait()
	if statuses[http.StatusUnauthorized] > 5 || statuses[http.StatusUnauthorized]+statuses[http.StatusTooManyRequests] != 40 {
		t.Errorf("%v", statuses)
	}
}

func TestAPlantedSessionIsNotTheOneAfterTheLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("mallory")
	mallory := w.client().login("mallory")
	planted := mallory.cookie(sessionCookie)
	for name, cookie := range map[string]string{"made up": strings.Repeat("A", 43), "of somebody else": planted, "no base64": "x y", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			c := w.client()
			f := c.get("/login").form(t, "username")
			c.jar.SetCookies(&url.URL{Scheme: "https", Host: loginHost, Path: "/"}, []*http.Cookie{{Name: sessionCookie, Value: cookie, Path: "/", Secure: true}})
			got := c.submit(f, "username", "alice", "password", secret)
			if got.status != http.StatusSeeOther {
				t.Fatalf("%d\n%s", got.status, got.body)
			}
			if after := c.cookie(sessionCookie); after == cookie || after == "" {
				t.Errorf("the session after the login is %q", after)
			}
			if claims := w.claims(c.cookie(ssoCookie)); claims.User() != "alice" {
				t.Errorf("signed in as %s", claims.User())
			}
		})
	}
	if got := mallory.get("/account"); got.status != http.StatusFound {
		t.Errorf("the planted session still lives: %d", got.status)
	}
}

func TestALoginEndsTheEarlierOneOfTheSameBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client()
	f := c.get("/login").form(t, "username") // a tab that was left open
	c.login("alice")
	before := w.claims(c.cookie(ssoCookie))
	if got := c.submit(f, "username", "alice", "password", secret); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	after := w.claims(c.cookie(ssoCookie))
	if before.Session() == after.Session() || !w.list.revoked(before) || w.list.revoked(after) {
		t.Errorf("session %s after %s", after.Session(), before.Session())
	}
}

func TestAStaleListIsNeverAWrongAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	w.list.set(func(l *list) { l.stale = true })
	session := c.cookie(sessionCookie)
	for _, path := range []string{"/login", "/account", "/logout", "/logout?done"} {
		got := c.get(path)
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || c.cookie(sessionCookie) != session || len(got.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: %d, cookies %q", path, got.status, got.header.Values("Set-Cookie"))
		}
	}
	stranger := w.client()
	if got := stranger.try("/login", "alice", secret); got.status != http.StatusServiceUnavailable {
		t.Errorf("a login: %d", got.status)
	}
	w.list.set(func(l *list) { l.stale = false })
	if got := c.get("/login"); got.status != http.StatusSeeOther {
		t.Errorf("afterwards: %d", got.status)
	}
}

func TestABrowserThatGoesInCirclesIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	path := "/login?redirect_uri=" + url.QueryEscape("https://website.viloforge.test/x")
	var got answer
	for range maxLoopRedirects {
		if got = c.get(path, "Cookie: "+ssoCookie+"=tossed"); got.status != http.StatusSeeOther {
			t.Fatalf("%d\n%s", got.status, got.body)
		}
	}
	if host := got.setCookies(t)[ssoCookie]; host == nil || host.MaxAge >= 0 {
		t.Errorf("a second cookie of the login host's own is not cleared: %q", got.header.Values("Set-Cookie"))
	}
	if got = c.get(path); got.status != http.StatusConflict || !strings.Contains(got.body, "cookie") || !strings.Contains(got.body, "https://website.viloforge.test/x") {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	if got = c.get("/login?redirect_uri=" + url.QueryEscape("https://website.viloforge.test/y")); got.status != http.StatusSeeOther {
		t.Errorf("another address: %d", got.status)
	}
	w.clock.advance(loopWindow + time.Second)
	if got = c.get(path); got.status != http.StatusSeeOther {
		t.Errorf("later: %d", got.status)
	}
}

// TestWhatIsNoLoop: what a page fetches, tabs side by side and a token that has run out are no rounds of a loop, and who was
// told of one may try again.
func TestWhatIsNoLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	path := "/login?redirect_uri=" + url.QueryEscape("https://website.viloforge.test/x")
	expect := func(what string, want int, header ...string) {
		t.Helper()
		if got := c.get(path, header...); got.status != want {
			t.Errorf("%s: %d, want %d", what, got.status, want)
		}
	}
	for range 2 * maxLoopRedirects {
		expect("a fetch", http.StatusUnauthorized, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty")
		expect("a frame", http.StatusSeeOther, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe")
		expect("a prefetch", http.StatusUnauthorized, "Sec-Purpose: prefetch", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
		expect("a program", http.StatusSeeOther, "Accept: application/json")
	}
	if c.cookie(loopCookie) != "" {
		t.Errorf("they were counted: %q", c.cookie(loopCookie))
	}
	session := c.cookie(sessionCookie)
	for range 2 * maxLoopRedirects { // none has another's cookie yet
		tab := w.client()
		if got := tab.get(path, "Cookie: "+sessionCookie+"="+session); got.status != http.StatusSeeOther {
			t.Errorf("a tab beside others: %d", got.status)
		}
	}
	for range 2 * maxLoopRedirects {
		expect("round after round, each later than a loop's", http.StatusSeeOther)
		w.clock.advance(loopWindow)
	}
	for range 2 {
		for range maxLoopRedirects {
			expect("round after round", http.StatusSeeOther)
		}
		expect("one too many", http.StatusConflict)
	}
	for range maxLoopRedirects {
		expect("round after round", http.StatusSeeOther)
	}
	if got := c.try(path+"&prompt=login", "alice", secret); got.status != http.StatusSeeOther {
		t.Errorf("a login by password: %d", got.status)
	}
	expect("after a login by password", http.StatusSeeOther)
	for _, value := range []string{"x", "..", "a-b-c", strings.Repeat("0123456789abcdef-99-99999999999999.", 100)} {
		if got := w.client().get(path, "Cookie: "+sessionCookie+"="+c.cookie(sessionCookie)+"; "+loopCookie+"="+value); got.status != http.StatusSeeOther {
			t.Errorf("the cookie %.20q: %d", value, got.status)
		}
	}
}

func TestAPasswordHashedAtAnotherCostIsHashedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := options(w.db, w.list, w.clock, w.log)
	o.PasswordCost.Memory *= 2
	dearer, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	before, err := w.idp.directory.findAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = dearer
	w.client().login("alice")
	after, err := w.idp.directory.findAccount(t.Context(), "alice")
	if err != nil || after.password == before.password || dearer.passwords.NeedsRehash(after.password) {
		t.Errorf("the hash was %s and is %s (%v)", before.password, after.password, err)
	}
	w.client().login("alice")
}

func TestAUserCannotPileUpSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("bob")
	used, unused, bob := w.client().login("alice"), w.client().login("alice"), w.client().login("bob")
	claims := w.claims(unused.cookie(ssoCookie))
	a, err := w.idp.directory.findAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	begin := func() error {
		_, err := w.idp.directory.createSession(t.Context(), sessionParams{account: a, max: 30 * 24 * time.Hour})
		return err
	}
	w.clock.advance(time.Hour)
	used.get("/account")
	for range maxSessions - 2 {
		if err := begin(); err != nil {
			t.Fatal(err)
		}
	}
	if w.list.revoked(claims) {
		t.Fatal("a session was ended while there was room")
	}
	// Without an acknowledged revocation there is no room, and no session is forgotten whose tokens still open doors.
	w.list.set(func(l *list) { l.broken = true })
	if err := begin(); !errors.Is(err, errUnrecorded) {
		t.Errorf("one too many while the log is away: %v", err)
	}
	w.list.set(func(l *list) { l.broken = false })
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	if !w.list.revoked(claims) || unused.get("/account").status == http.StatusOK {
		t.Error("the session that was not used for the longest lives")
	}
	if used.get("/account").status != http.StatusOK {
		t.Error("another session than the one that was not used for the longest was ended")
	}
	var logins sync.WaitGroup
	for range 20 {
		logins.Go(func() {
			if err := begin(); err != nil {
				t.Error(err)
			}
		})
	}
	logins.Wait()
	if sessions, err := w.admin.Sessions(t.Context(), "alice"); err != nil || len(sessions) != maxSessions {
		t.Errorf("%d sessions, %v", len(sessions), err)
	}
	if bob.get("/account").status != http.StatusOK {
		t.Error("another user's session was ended")
	}
}
