package idp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestAFormCountsOnlyInTheBrowserThatItWasGivenTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	filled := []string{"username", "alice", "password", secret}
	for name, forge := range map[string]func(c *client, f form) form{
		"without its token":        func(_ *client, f form) form { f.fields.Del(csrfField); return f },
		"with an empty token":      func(_ *client, f form) form { f.fields.Set(csrfField, ""); return f },
		"with a changed token":     func(_ *client, f form) form { f.fields.Set(csrfField, f.fields.Get(csrfField)+"A"); return f },
		"with a made-up token":     func(_ *client, f form) form { f.fields.Set(csrfField, strings.Repeat("A", 43)); return f },
		"with the cookie as token": func(c *client, f form) form { f.fields.Set(csrfField, c.cookie(csrfCookie)); return f },
		"of another browser":       func(*client, form) form { return w.client().get("/login").form(t, "username") },
		"of another step": func(c *client, f form) form {
			x := &exchange{idp: w.idp, r: &http.Request{Header: http.Header{"Cookie": {csrfCookie + "=" + c.cookie(csrfCookie)}}}}
			f.fields.Set(csrfField, x.csrfToken(logoutForm, ""))
			return f
		},
		"of another session": func(c *client, f form) form {
			x := &exchange{idp: w.idp, r: &http.Request{Header: http.Header{"Cookie": {csrfCookie + "=" + c.cookie(csrfCookie)}}}}
			f.fields.Set(csrfField, x.csrfToken(loginForm, "other"))
			return f
		},
	} {
		c := w.client()
		f := forge(c, c.get("/login").form(t, "username"))
		got := c.submit(f, filled...)
		if got.status != http.StatusForbidden || c.cookie(ssoCookie) != "" || !strings.Contains(got.body, `role="alert"`) {
			t.Errorf("a form %s: %d\n%s", name, got.status, got.body)
		}
		// And the form that comes back is good.
		if got := c.submit(got.form(t, "username"), filled...); got.status != http.StatusSeeOther {
			t.Errorf("a form %s, then the one that came back: %d", name, got.status)
		}
	}
	if strings.Contains(w.log.String(), "login failed") {
		t.Error("a forged form cost a hash, or an attempt of the account")
	}
}

func TestALoginFormWithoutItsCookieIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.client().get("/login").form(t, "username")
	if got := w.client().submit(f, "username", "alice", "password", secret); got.status != http.StatusForbidden {
		t.Errorf("%d", got.status)
	}
	// Two of the cookie that disagree are none.
	c := w.client()
	f = c.get("/login").form(t, "username")
	f.fields.Set("username", "alice")
	f.fields.Set("password", secret)
	got := c.do(http.MethodPost, f.at, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded", "Cookie: "+csrfCookie+"=x")
	if got.status != http.StatusForbidden {
		t.Errorf("two cookies: %d", got.status)
	}
}

func TestFormsInSeveralTabsAllCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client()
	first := c.get("/login").form(t, "username")
	second := c.get("/login?redirect_uri=x").form(t, "username")
	for _, f := range []form{second, first} {
		if got := c.submit(f, "username", "alice", "password", secret); got.status != http.StatusSeeOther {
			t.Errorf("%d", got.status)
		}
	}
}

// TestFormsOfTabsThatWereOpenedBeforeTheFirstCookie: each is given a cookie of its own, and the browser keeps the last. A form
// that its browser says a page of the login host sends counts all the same, and no other.
func TestFormsOfTabsThatWereOpenedBeforeTheFirstCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tab := func() form { return w.client().get("/login").form(t, "username") }
	post := func(f form, header ...string) int {
		c := w.client()
		c.get("/login") // the last tab, whose cookie it keeps
		f.fields.Set("username", "alice")
		f.fields.Set("password", secret)
		return c.do(http.MethodPost, f.at, f.fields.Encode(), append(header, "Content-Type: application/x-www-form-urlencoded")...).status
	}
	for name, header := range map[string][]string{
		"Fetch Metadata": {"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate"},
		"Origin":         {"Origin: " + loginAt},
		"both":           {"Sec-Fetch-Site: same-origin", "Origin: " + loginAt},
		"sent again":     {"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"},
	} {
		if got := post(tab(), header...); got != http.StatusSeeOther {
			t.Errorf("a page of the login host, by %s: %d", name, got)
		}
	}
	for name, header := range map[string][]string{
		"nobody":       nil,
		"a sibling":    {"Sec-Fetch-Site: same-site", "Origin: https://website.viloforge.test"},
		"another site": {"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"},
		"a sandbox":    {"Sec-Fetch-Site: cross-site", "Origin: null"},
		"another port": {"Origin: " + loginAt + ":8443"},
	} {
		if got := post(tab(), header...); got != http.StatusForbidden {
			t.Errorf("a page of %s: %d", name, got)
		}
	}
	// What counts is a form of this step all the same.
	c := w.client().login("alice")
	f := w.client().get("/login").form(t, "username")
	if got := c.do(http.MethodPost, "/logout", f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded", "Origin: "+loginAt).status; got != http.StatusForbidden {
		t.Errorf("a login form's token in the form that signs out: %d", got)
	}
}

func TestTheLoginFormPostsToItsOwnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/", "/login", "/?redirect_uri=" + url.QueryEscape("https://website.viloforge.test/")} {
		c := w.client()
		page := c.get(path)
		if f := page.form(t, "username"); f.at != page.at {
			t.Errorf("%s posts to %s", path, f.at)
		}
		if got := c.try(path, "alice", secret); got.status != http.StatusSeeOther {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestOnlyAFormIsReadAsAForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client()
	f := c.get("/login").form(t, "username")
	f.fields.Set("username", "alice")
	f.fields.Set("password", secret)
	good := f.fields.Encode()
	for name, test := range map[string]struct {
		body, kind string
		status     int
	}{
		"no type":           {good, "", http.StatusUnsupportedMediaType},
		"plain text":        {good, "text/plain", http.StatusUnsupportedMediaType},
		"JSON":              {`{"username":"alice"}`, "application/json", http.StatusUnsupportedMediaType},
		"multipart":         {good, "multipart/form-data; boundary=x", http.StatusUnsupportedMediaType},
		"a field twice":     {good + "&username=bob", "application/x-www-form-urlencoded", http.StatusBadRequest},
		"the token twice":   {good + "&" + csrfField + "=x", "application/x-www-form-urlencoded", http.StatusBadRequest},
		"an invalid escape": {good + "&x=%zz", "application/x-www-form-urlencoded", http.StatusBadRequest},
		"too much":          {good + "&x=" + strings.Repeat("x", maxForm), "application/x-www-form-urlencoded", http.StatusRequestEntityTooLarge},
		"with a charset":    {good, "application/x-www-form-urlencoded; charset=UTF-8", http.StatusSeeOther},
	} {
		header := []string{}
		if test.kind != "" {
			header = append(header, "Content-Type: "+test.kind)
		}
		if got := c.do(http.MethodPost, "/login", test.body, header...); got.status != test.status {
			t.Errorf("%s: %d, want %d", name, got.status, test.status)
		}
	}
}
