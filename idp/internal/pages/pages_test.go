package pages

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// all is each page, with as much on it as there can be.
var all = map[string]Page{
	"login":         Login{TokenField: "t", Token: "x", ReturnHost: "website.viloforge.com", Shortened: true},
	"login, other":  Login{TokenField: "t", Token: "x", OtherAccount: true, ReturnHost: "website.viloforge.com"},
	"login, failed": Login{TokenField: "t", Token: "x", User: "alice", Error: "No.", ReturnHost: "website.viloforge.com"},
	"logout":        Logout{TokenField: "t", Token: "x", Error: "No."},
	"signed out":    SignedOut{Done: true},
	"nobody":        SignedOut{},
	"account": Account{
		TokenField: "t", Token: "x", LogoutToken: "y", User: "alice", FullName: "Alice", Email: "alice@example.com",
		Roles: []string{"a", "b"}, Error: "No.", Done: "Yes.", PasswordFirst: true,
		Sessions: []Session{
			{ID: "a", Browser: "Firefox on Linux", Network: "192.0.2.1", Since: time.Unix(0, 0), Used: time.Unix(0, 0), Current: true},
			{ID: "b", Browser: "Chrome on Windows", Network: "2001:db8::1", Since: time.Unix(0, 0), Used: time.Unix(0, 0), New: true},
		},
		Action: "/account?redirect_uri=x", BackURL: "https://website.viloforge.com/", BackHost: "website.viloforge.com",
	},
	"too many":  TooManyCookies{TokenField: "t", Token: "x"},
	"removed":   CookiesRemoved{},
	"shortened": Shortened{Host: "website.viloforge.com", Home: "https://website.viloforge.com/"},
	"loop":      Loop{Cookie: "c", Domain: "d", Back: "https://website.viloforge.com/"},
	"message":   Message{Title: "Not found", Detail: "There is nothing.", SignIn: true, RequestID: "r"},
}

func parse(tb testing.TB, page Page) *html.Node {
	tb.Helper()
	body, err := Render(page)
	if err != nil {
		tb.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(string(body)))
	if err != nil {
		tb.Fatal(err)
	}
	return root
}

func attributes(node *html.Node) map[string]string {
	found := map[string]string{}
	for _, a := range node.Attr {
		found[a.Key] = a.Val
	}
	return found
}

func text(node *html.Node) string {
	var b strings.Builder
	for inner := range node.Descendants() {
		if inner.Type == html.TextNode {
			b.WriteString(inner.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestEveryPageServesEverybody(t *testing.T) {
	t.Parallel()
	for name, page := range all {
		labels, described, ids, count := map[string]bool{}, []string{}, map[string]bool{}, map[string]int{}
		for node := range parse(t, page).Descendants() {
			if node.Type != html.ElementNode {
				continue
			}
			count[node.Data]++
			a := attributes(node)
			if id, ok := a["id"]; ok {
				if ids[id] {
					t.Errorf("%s: two elements have the id %q", name, id)
				}
				ids[id] = true
			}
			for _, refers := range []string{"aria-describedby", "aria-labelledby"} {
				if id, ok := a[refers]; ok {
					described = append(described, id)
				}
			}
			switch node.Data {
			case "html":
				if a["lang"] != "en" {
					t.Errorf("%s: lang %q", name, a["lang"])
				}
			case "title":
				if title := text(node); !strings.HasSuffix(title, page.Heading()) || strings.HasPrefix(title, "Error: ") != page.Failed() {
					t.Errorf("%s: title %q", name, title)
				}
			case "label":
				labels[a["for"]] = text(node) != ""
			case "script", "iframe", "object", "img":
				t.Errorf("%s: has a %s", name, node.Data)
			}
			for key := range a {
				if strings.HasPrefix(key, "on") || key == "style" {
					t.Errorf("%s: <%s %s>", name, node.Data, key)
				}
			}
		}
		for _, id := range described {
			if !ids[id] {
				t.Errorf("%s: nothing has the id %q", name, id)
			}
		}
		for _, element := range []string{"h1", "main", "title"} {
			if count[element] != 1 {
				t.Errorf("%s: %d %s", name, count[element], element)
			}
		}
		inputs(t, name, page, labels)
	}
}

// inputs looks at what is filled in: labels for screen readers, and autocomplete for password managers.
func inputs(t *testing.T, name string, page Page, labels map[string]bool) {
	t.Helper()
	want := map[string]string{
		"username": "username", "password": "current-password", "new_password": "new-password", "new_password_again": "new-password",
	}
	for node := range parse(t, page).Descendants() {
		a := attributes(node)
		if _, hidden := a["hidden"]; node.Data != "input" || a["type"] == "hidden" {
			continue
		} else if !hidden && !labels[a["id"]] {
			t.Errorf("%s: the field %q has no label", name, a["name"])
		}
		if a["autocomplete"] != want[a["name"]] || want[a["name"]] == "" {
			t.Errorf("%s: the field %q has autocomplete %q", name, a["name"], a["autocomplete"])
		}
		if strings.HasSuffix(a["autocomplete"], "password") && (a["type"] != "password" || a["value"] != "") {
			t.Errorf("%s: the field %q shows a password", name, a["name"])
		}
	}
}

func TestAnErrorIsSeenAndHeard(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"login, failed", "logout", "account"} {
		found := false
		for node := range parse(t, all[name]).Descendants() {
			found = found || attributes(node)["role"] == "alert" && text(node) == "No."
		}
		if !found {
			t.Errorf("%s: no alert", name)
		}
	}
}

func TestWhatAPageShowsIsNoMarkup(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert(1)</script>`
	for _, page := range []Page{
		Login{User: hostile, Error: hostile, ReturnHost: hostile, Token: hostile, TokenField: "t"},
		Account{User: hostile, FullName: hostile, Email: hostile, Roles: []string{hostile}, Error: hostile, Done: hostile, Sessions: []Session{{ID: hostile, Browser: hostile, Network: hostile}, {ID: hostile}}},
		Loop{Cookie: hostile, Domain: hostile, Back: "javascript:alert(1)"},
		Message{Title: hostile, Detail: hostile, RequestID: hostile},
	} {
		for node := range parse(t, page).Descendants() {
			if node.Data == "script" || strings.HasPrefix(attributes(node)["href"], "javascript:") {
				t.Errorf("%T: <%s %v>", page, node.Data, node.Attr)
			}
		}
	}
}

func TestTheStyleServesDarkRoomsAndNamesItself(t *testing.T) {
	t.Parallel()
	body, err := Render(SignedOut{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "prefers-color-scheme: dark") {
		t.Error("there is no dark mode")
	}
	_, rest, _ := strings.Cut(string(body), "<style>")
	inside, _, _ := strings.Cut(rest, "</style>")
	if inside != css {
		t.Error("the style on the page is not the one that its policy names")
	}
}
