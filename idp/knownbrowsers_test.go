package idp

import (
	"bytes"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lockOut has a stranger use up what strangers may fail at an account.
func (w *world) lockOut(user string) {
	w.tb.Helper()
	stranger := w.client()
	for i := range 11 {
		want := http.StatusUnauthorized
		if i == 10 {
			want = http.StatusTooManyRequests
		}
		if got := stranger.try("/login", user, "wrong"); got.status != want {
			w.tb.Fatalf("a stranger's attempt %d: %d, want %d", i, got.status, want)
		}
	}
}

// outcome asserts what an attempt from the browser ends in.
func (c *client) outcome(what, user, password string, want int) {
	c.tb.Helper()
	if got := c.try("/login?prompt=login", user, password); got.status != want {
		c.tb.Errorf("%s: %d, want %d", what, got.status, want)
	}
}

func TestStrangersDoNotKeepTheOwnerOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known, signedOut := w.client().login("alice"), w.client().login("alice")
	got := signedOut.submit(signedOut.get("/logout").form(t))
	if got.status != http.StatusSeeOther || signedOut.cookie(deviceCookie) == "" {
		t.Fatalf("%d, and the device cookie is %q", got.status, signedOut.cookie(deviceCookie))
	}
	w.lockOut("alice")
	w.client().outcome("an unknown browser", "alice", secret, http.StatusTooManyRequests)
	known.outcome("a typo in a known browser", "alice", "correct hrose", http.StatusUnauthorized)
	known.outcome("a known browser, to show once more who it is", "alice", secret, http.StatusSeeOther)
	w.lockOut("alice") // a success has reset the strangers' failures
	signedOut.outcome("a known browser that is signed out", "alice", secret, http.StatusSeeOther)
	w.lockOut("alice")
	page := known.get("/account").form(t, "do=password")
	got = known.submit(page, "password", secret, "new_password", "another secret", "new_password_again", "another secret")
	if got.status != http.StatusSeeOther {
		t.Errorf("a new password: %d", got.status)
	}
}

func TestAddressOfStrangersDoesNotKeepTheOwnerOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known := w.client().login("alice")
	for range 60 {
		w.idp.perAddress.Take("127.0.0.1/32", w.clock.now())
	}
	w.client().outcome("an unknown browser", "nobody", "wrong", http.StatusTooManyRequests)
	known.outcome("a known browser", "alice", secret, http.StatusSeeOther)
}

func TestADeviceCookieIsVoidAfterTenFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known, other := w.client().login("alice"), w.client().login("alice")
	w.lockOut("alice")
	for range knownBrowserFailures {
		known.outcome("a wrong password", "alice", "wrong", http.StatusUnauthorized)
	}
	known.outcome("after ten of them", "alice", secret, http.StatusTooManyRequests)
	other.outcome("another browser", "alice", secret, http.StatusSeeOther)
	// Whose count begins anew with a success.
	for range 3 {
		for range knownBrowserFailures - 1 {
			other.outcome("a wrong password", "alice", "wrong", http.StatusUnauthorized)
		}
		other.outcome("the right one", "alice", secret, http.StatusSeeOther)
	}
	known.outcome("the strangers' way", "alice", secret, http.StatusSeeOther)
}

func TestTooManyAtOnceFromAKnownBrowserDoNotAllPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known := w.client().login("alice")
	device, _ := parseDeviceSecret(known.cookie(deviceCookie))
	passed := 0
	for range 3 * knownBrowserFailures {
		_, ok, err := w.idp.directory.takeKnownAttempt(t.Context(), device, w.alice.ID)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			passed++
		}
	}
	if passed != knownBrowserFailures {
		t.Errorf("%d passed before it was known how one ended", passed)
	}
}

func TestADeviceCookieIsBoundToAccountAndPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("bob")
	c := w.client().login("alice")
	w.lockOut("bob")
	c.outcome("another account", "bob", secret, http.StatusTooManyRequests)
	w.clock.advance(time.Minute)
	c.outcome("bob signs in", "bob", secret, http.StatusSeeOther) // one browser may be known to two accounts
	w.lockOut("bob")
	w.lockOut("alice")
	c.outcome("the second account", "bob", secret, http.StatusSeeOther)
	c.outcome("the first account", "alice", secret, http.StatusSeeOther)
	if err := w.admin.SetPassword(t.Context(), "alice", "another secret"); err != nil {
		t.Fatal(err)
	}
	w.lockOut("alice")
	c.outcome("after another password", "alice", "another secret", http.StatusTooManyRequests)
	w.lockOut("bob")
	c.outcome("whose password is the same", "bob", secret, http.StatusSeeOther)
}

func TestADeviceCookieOutlivesARehash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known, other := w.client().login("alice"), w.client().login("alice")
	o := options(w.db, w.list, w.clock, w.log)
	o.PasswordCost.Memory *= 2
	var err error
	if w.idp, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = w.idp
	other.outcome("a login that rehashes", "alice", secret, http.StatusSeeOther)
	w.lockOut("alice")
	known.outcome("another browser than the one that rehashed", "alice", secret, http.StatusSeeOther)
	w.lockOut("alice")
	other.outcome("the browser that rehashed", "alice", secret, http.StatusSeeOther)
}

func TestADeviceCookieThatIsNotOursIsAStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	device := c.cookie(deviceCookie)
	w.lockOut("alice")
	for name, value := range map[string]string{"made up": strings.Repeat("A", 43), "no base64": "x y", "empty": "", "twice": device + "; " + deviceCookie + "=x"} {
		stranger := w.client()
		f := stranger.get("/login").form(t, "username")
		f.fields.Set("username", "alice")
		f.fields.Set("password", secret)
		got := stranger.do(http.MethodPost, f.at, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded", "Cookie: "+deviceCookie+"="+value)
		if got.status != http.StatusTooManyRequests {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	// Each login has another, and the one before is worth nothing.
	c.outcome("alice again", "alice", secret, http.StatusSeeOther)
	if c.cookie(deviceCookie) == device {
		t.Error("a login kept the device cookie")
	}
	w.lockOut("alice")
	old := w.client()
	old.jar.SetCookies(&url.URL{Scheme: "https", Host: loginHost, Path: "/"}, []*http.Cookie{{Name: deviceCookie, Value: device, Path: "/", Secure: true}})
	old.outcome("the cookie from before", "alice", secret, http.StatusTooManyRequests)
}

func TestKnownBrowsersAreKeptHashedAndNotForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	device, ok := parseDeviceSecret(c.cookie(deviceCookie))
	if !ok {
		t.Fatalf("%q", c.cookie(deviceCookie))
	}
	var kept []byte
	if err := w.db.SQL().QueryRowContext(t.Context(), "SELECT secret FROM known_browsers").Scan(&kept); err != nil || bytes.Equal(kept, device[:]) {
		t.Errorf("the database has %x (%v)", kept, err)
	}
	a, err := w.idp.directory.findAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for range maxKnownBrowsers + 5 {
		w.clock.advance(time.Second)
		if _, _, _, err := w.idp.directory.rememberBrowser(t.Context(), a, nil); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		if err := w.db.SQL().QueryRowContext(t.Context(), "SELECT count(*) FROM known_browsers").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != maxKnownBrowsers {
		t.Errorf("%d known browsers", n)
	}
	w.lockOut("alice")
	c.outcome("the one that was not used for the longest", "alice", secret, http.StatusTooManyRequests)
	w.clock.advance(knownBrowserLife)
	if err := w.idp.directory.purge(t.Context()); err != nil || count() != 0 {
		t.Errorf("%d are left (%v)", count(), err)
	}
}

func TestUnlockForgetsFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known := w.client().login("alice")
	for range knownBrowserFailures {
		known.outcome("a wrong password", "alice", "wrong", http.StatusUnauthorized)
	}
	w.lockOut("alice")
	if err := w.admin.Unlock(t.Context(), " ALICE"); err != nil {
		t.Fatal(err)
	}
	w.lockOut("alice")
	known.outcome("a known browser", "alice", secret, http.StatusSeeOther)
	if err := w.admin.Unlock(t.Context(), "nobody"); err == nil {
		t.Error("nobody was unlocked")
	}
}

// TestHowFailuresAreSlowedDownDoesNotTellWhoExists: over many attempts, an account and a name that nobody has answer alike.
func TestHowFailuresAreSlowedDownDoesNotTellWhoExists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.admin.Disable(t.Context(), w.add("gone").Name); err != nil {
		t.Fatal(err)
	}
	varying := regexp.MustCompile(`value="[^"]*"`)
	c := w.client().login("alice") // whose device cookie is another account's
	w.add("bob")
	for i := range 130 {
		var first answer
		for _, user := range []string{"bob", "nobody", "gone", "not a name"} {
			got := c.try("/login?prompt=login", user, "wrong")
			got.body = varying.ReplaceAllString(got.body, "")
			if first.status == 0 {
				first = got
			}
			if got.status != first.status || got.header.Get("Retry-After") != first.header.Get("Retry-After") || got.body != first.body {
				t.Fatalf("attempt %d at %s: %d, Retry-After %q; another name: %d, %q\n%s", i, user, got.status, got.header.Get("Retry-After"), first.status, first.header.Get("Retry-After"), got.body)
			}
		}
		if i >= 10 {
			w.clock.advance(time.Minute)
		}
	}
}
