package idp

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const sessionsPath = "/.vilogate/sessions"

// program is a client that asks as a page's script does.
func (w *world) program(user string) *client {
	c := w.client().with(firefox).login(user)
	c.header.Set("Accept", "application/json")
	c.header.Set("Sec-Fetch-Site", "same-origin")
	c.header.Set("Sec-Fetch-Mode", "cors")
	c.header.Set("Sec-Fetch-Dest", "empty")
	return c
}

// listedSessions are what the client is told.
func (c *client) listedSessions() (got sessionList) {
	c.tb.Helper()
	answer := c.get(sessionsPath)
	if err := json.Unmarshal([]byte(answer.body), &got); err != nil || answer.status != http.StatusOK || answer.header.Get("Cache-Control") != "no-store" {
		c.tb.Fatalf("%d %v: %s (%v)", answer.status, answer.header, answer.body, err)
	}
	return got
}

func TestSessionsForPrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("bob")
	w.client().login("bob")
	c := w.program("alice")
	one, two := w.client().login("alice"), w.client().login("alice")
	list := c.listedSessions()
	if len(list.Sessions) != 3 || list.CSRFToken == "" {
		t.Fatalf("%+v", list)
	}
	for _, s := range list.Sessions {
		if s.Current != (s.ID == c.session(w)) || !s.NewDevice || s.Address != "127.0.0.1" || s.AuthTime != w.clock.now().Unix() || s.Used < s.AuthTime || s.Expires <= s.Used || s.Current != (s.Browser == "Firefox on Linux") {
			t.Errorf("%+v", s)
		}
	}
	post := func(fields ...string) answer {
		return c.submit(form{at: sessionsPath, fields: url.Values{csrfField: {list.CSRFToken}}}, fields...)
	}
	if got := post("do", "end", "session", one.session(w)); got.status != http.StatusNoContent || !w.list.SessionRevoked("vilogate", one.session(w)) {
		t.Errorf("one: %d\n%s", got.status, got.body)
	}
	for name, test := range map[string]struct {
		fields []string
		status int
		kind   string
	}{
		"once more":       {[]string{"do", "end", "session", one.session(w)}, http.StatusNotFound, "unknown-session"},
		"no session":      {[]string{"do", "end"}, http.StatusNotFound, "unknown-session"},
		"something else":  {[]string{"do", "password"}, http.StatusBadRequest, "malformed"},
		"no form token":   {[]string{"do", "others", csrfField, ""}, http.StatusForbidden, "csrf"},
		"another's token": {[]string{"do", "others", csrfField, w.otherAccountToken(t)[0]}, http.StatusForbidden, "csrf"},
	} {
		got := post(test.fields...)
		if got.status != test.status || got.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(got.body, "/problems/"+test.kind+`"`) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if two.get("/account").status != http.StatusOK {
		t.Error("a refused request ended something")
	}
	if got := post("do", "others"); got.status != http.StatusNoContent || !w.list.SessionRevoked("vilogate", two.session(w)) || len(c.listedSessions().Sessions) != 1 {
		t.Errorf("the others: %d\n%s", got.status, got.body)
	}
	if got := post("do", "end", "session", c.session(w)); got.status != http.StatusNoContent || c.cookie(sessionCookie) != "" || c.get(sessionsPath).status != http.StatusUnauthorized {
		t.Errorf("the own session: %d\n%s", got.status, got.body)
	}
}

// TestSessionsAreReadByTheLoginHostsPagesAlone: nor does a sibling host's page end one.
func TestSessionsAreReadByTheLoginHostsPagesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.program("alice")
	other := w.client().login("alice")
	token := c.listedSessions().CSRFToken
	for _, header := range [][]string{
		{"Sec-Fetch-Site: same-site"},
		{"Sec-Fetch-Site: cross-site"},
		{"Sec-Fetch-Site: ", "Origin: https://website.viloforge.test"},
		{"Sec-Fetch-Site: same-origin", "Origin: null"},
		{"Sec-Fetch-Site: ", "Origin: http://login.viloforge.test"},
	} {
		got := c.get(sessionsPath, header...)
		if got.status != http.StatusForbidden || !strings.Contains(got.body, "/problems/csrf") || strings.Contains(got.body, "sessions\"") || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q: %d\n%s", header, got.status, got.body)
		}
	}
	for _, header := range [][]string{{"Sec-Fetch-Site: "}, {"Sec-Fetch-Site: none"}, {"Sec-Fetch-Site: ", "Origin: " + loginAt}} {
		if got := c.get(sessionsPath, header...); got.status != http.StatusOK {
			t.Errorf("%q: %d", header, got.status)
		}
	}
	body := url.Values{"do": {"end"}, "session": {other.session(w)}, csrfField: {token}}.Encode()
	for _, kind := range []string{"application/json", "text/plain", ""} {
		if got := c.do(http.MethodPost, sessionsPath, body, "Content-Type: "+kind); got.status != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d", kind, got.status)
		}
	}
	if other.get("/account").status != http.StatusOK {
		t.Error("a session was ended")
	}
}

func TestProgramsNeedARecentLoginToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.program("alice")
	other := w.client().login("alice").session(w)
	token := c.listedSessions().CSRFToken
	w.clock.advance(recentLogin + time.Second)
	for _, do := range []string{"end", "others"} {
		got := c.submit(form{at: sessionsPath, fields: url.Values{csrfField: {token}}}, "do", do, "session", other)
		if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "/problems/step-up") || !strings.Contains(got.body, `max_age=900"`) ||
			!strings.Contains(got.header.Get("WWW-Authenticate"), `error="insufficient_user_authentication"`) || !strings.Contains(got.header.Get("WWW-Authenticate"), `max_age="900"`) {
			t.Errorf("%s: %d %v\n%s", do, got.status, got.header, got.body)
		}
	}
	if len(w.list.entries) > 0 {
		t.Errorf("something was revoked: %v", w.list.entries)
	}
}
