package idp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies/request"
)

// hostile are return addresses of which some reader somewhere makes another site, or that are not addresses of this one.
// The only hosts to return to are website.viloforge.test and those of one label under apps.viloforge.test.
var hostile = []string{
	// Nothing, and things that are no address.
	"", " ", ".", "..", "/", "//", "///", "\\", "x", "?x", "#x", "@", ":", "0", "null", "undefined", "*", "%", "%2f", "~", "\x00", "\xff",
	"/account", "/account/../../evil.example", "/login", "login", "account", "/%2e%2e/evil", "./evil.example", "../evil.example",
	// No scheme, or half of one.
	"//evil.example", "///evil.example", "////evil.example/", "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/\t/evil.example", "/\n/evil.example",
	"\t//evil.example", "\r\n//evil.example", " //evil.example", "//evil.example/%2f..", "//website.viloforge.test", "//website.viloforge.test@evil.example", "/%09/evil.example",
	"/.evil.example", "/;@evil.example", "/%5cevil.example", "/%2f%2fevil.example", "%2f%2fevil.example", "//%65vil.example", "//evil%E3%80%82example", "@evil.example", "evil.example",
	"website.viloforge.test", "website.viloforge.test/x", "website.viloforge.test:443/x", "https:evil.example", "https:/evil.example", "https:///evil.example", "https:////evil.example",
	"https:\\\\evil.example", "https:\\evil.example", "https:/\\evil.example", "https:\\/evil.example", "https:website.viloforge.test", "https:/website.viloforge.test/", "https:///website.viloforge.test/",
	"https//website.viloforge.test/", "https:", "https:/", "https://", "https:///", "https://?", "https://#", "://website.viloforge.test/", "http:https://evil.example",
	// Another scheme, or this one in another spelling.
	"http://website.viloforge.test/", "http://evil.example", "HTTPS://website.viloforge.test/", "Https://website.viloforge.test/", "httpſ://website.viloforge.test/", "https ://website.viloforge.test/",
	"h\nttps://website.viloforge.test/", "h\tttps://evil.example", "javascript:alert(1)", "java\tscript:alert(1)", "JaVaScRiPt://website.viloforge.test/%0aalert(1)", "javascript://website.viloforge.test/\nalert(1)",
	"data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd", "ftp://website.viloforge.test/", "ws://website.viloforge.test/", "wss://website.viloforge.test/", "blob:https://website.viloforge.test/x",
	"filesystem:https://website.viloforge.test/x", "view-source:https://website.viloforge.test/", "about:blank", "mailto:a@website.viloforge.test", "intent://website.viloforge.test/#Intent;end", "https+x://website.viloforge.test/",
	"https://https://website.viloforge.test/", "https:https://website.viloforge.test/", "url:https://website.viloforge.test/",
	// Another host.
	"https://evil.example", "https://evil.example/", "HTTPS://EVIL.EXAMPLE", "https://evil.example/website.viloforge.test", "https://evil.example?website.viloforge.test", "https://evil.example#website.viloforge.test",
	"https://evil.example/https://website.viloforge.test/", "https://evil.example/.website.viloforge.test", "https://viloforge.test/", "https://unregistered.viloforge.test/", "https://a.website.viloforge.test/",
	"https://a.b.apps.viloforge.test/", "https://apps.viloforge.test/", "https://.apps.viloforge.test/", "https://*.apps.viloforge.test/", "https://*.viloforge.test/", "https://localhost/", "https://com/", "https://test/",
	"https://login.viloforge.test/", "https://login.viloforge.test/login", "https://login.viloforge.test/logout", "https://login.viloforge.test/account/x", "https://login.viloforge.test/account?x", "https://login.viloforge.test/account#x",
	"https://login.viloforge.test/login?redirect_uri=https://evil.example", "https://login.viloforge.test.evil.example/account",
	// Look-alikes.
	"https://website.viloforge.test.evil.example/", "https://evilwebsite.viloforge.test/", "https://website.viloforge.testevil.example", "https://website.viloforge.test.", "https://website.viloforge.test./", "https://website..viloforge.test/",
	"https://website-viloforge.test/", "https://websiteviloforge.test/", "https://website.viloforge.tes/", "https://website.viloforge.testt/", "https://ebsite.viloforge.test/", "https://xapps.viloforge.test/", "https://a-apps.viloforge.test/",
	"https://a.apps.viloforge.test.evil.example/", "https://evil.example.apps.viloforge.test/", "https://WEBSITE.viloforge.test/", "https://website.Viloforge.test/", "https://-x.apps.viloforge.test/", "https://x-.apps.viloforge.test/",
	"https://x_y.apps.viloforge.test/", "https://" + strings.Repeat("x", 64) + ".apps.viloforge.test/",
	// Users.
	"https://website.viloforge.test@evil.example/", "https://evil.example@website.viloforge.test/", "https://user:pass@website.viloforge.test/", "https://@website.viloforge.test/", "https://:@website.viloforge.test/",
	"https://website.viloforge.test:@evil.example/", "https://website.viloforge.test:443@evil.example/", "https://website.viloforge.test%40evil.example/", "https://website.viloforge.test\\@evil.example/",
	"https://evil.example\\@website.viloforge.test/", "https://evil.example%5c@website.viloforge.test/", "https://evil.example%2f@website.viloforge.test/", "https://evil.example;@website.viloforge.test", "https://evil.example\x00@website.viloforge.test/",
	// Ports.
	"https://website.viloforge.test:8443/", "https://website.viloforge.test:80/", "https://website.viloforge.test:0443/", "https://website.viloforge.test:+443/", "https://website.viloforge.test:443x/", "https://website.viloforge.test:/",
	"https://website.viloforge.test:", "https://website.viloforge.test:443:443/", "https://website.viloforge.test:65979/", "https://website.viloforge.test:-1/", "https://website.viloforge.test:４４３/", "https://website.viloforge.test:443;/", "https://website.viloforge.test:0/",
	// Separators that some take for others.
	"https://evil.example\\website.viloforge.test", "https://evil.example\\.website.viloforge.test/", "https://website.viloforge.test\\evil.example", "https://website.viloforge.test/\\evil.example", "https://website.viloforge.test/x\\..\\y",
	"https://website.viloforge.test,evil.example/", "https://website.viloforge.test;evil.example/", "https://evil.example,website.viloforge.test/", "https://website.viloforge.test&evil.example/", "https://website.viloforge.test|evil.example/",
	"https://website.viloforge.test／evil.example", "https://website.viloforge.test？x", "https://website.viloforge.test＃x", "https://evil.example／website.viloforge.test/", "https://website。viloforge。test/", "https://evil。example/", "https://website.viloforge.test%2f/",
	"https://website.viloforge.test%2eevil.example/", "https://website%2eviloforge.test/", "https://%77ebsite.viloforge.test/", "https://website.viloforge.test%23@evil.example/", "https://website.viloforge.test%3f@evil.example/", "https://website.viloforge.test%00.evil.example/",
	// Letters that fold, and letters that are not there.
	"https://ｗebsite.viloforge.test/", "https://websıte.viloforge.test/", "https://website.viloforge.teſt/", "https://wébsite.viloforge.test/", "https://xn--wbsite-dva.viloforge.test/", "https://web\u200bsite.viloforge.test/", "https://web\u00adsite.viloforge.test/",
	"https://website.viloforge.test\u202e/", "https://website.viloforge.test\u2028/", "https://website.viloforge.test\u00a0/", "\ufeffhttps://website.viloforge.test/", "https://website.viloforge.test\x7f/", "https://website.viloforge.test\x00/", "https://website.viloforge.test\x00.evil.example/",
	// Space and line ends.
	" https://website.viloforge.test/", "\u00a0https://website.viloforge.test/", "\thttps://website.viloforge.test/", "https://website.viloforge.test ", "https://website.viloforge.test /", "https://website.viloforge.test\t/", "https://web\tsite.viloforge.test/",
	"https://web\nsite.viloforge.test/", "https://website.viloforge.test\n/", "https://website.viloforge.test/\r\nSet-Cookie: x=y", "https://website.viloforge.test/\nx", "https://website.viloforge.test/a b", "https://website.viloforge.test/x?y=\r\nLocation: https://evil.example",
	"https://website.viloforge.test/\x85", "https://website.viloforge.test/?\u2028", "https:// website.viloforge.test/", "https://\twebsite.viloforge.test/",
	// Addresses.
	"https://127.0.0.1/", "https://[::1]/", "https://[website.viloforge.test]/", "https://0x7f.1/", "https://2130706433/", "https://0177.0.0.1/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/", "https://169.254.169.254/latest/", "https://1.apps.viloforge.1/",
	// Markup, and too much.
	"https://website.viloforge.test/\"><script>alert(1)</script>", "https://website.viloforge.test/<x>", "https://website.viloforge.test/?a=\"", "https://website.viloforge.test\"/", "https://website.viloforge.test'/", "https://website.viloforge.test/é", "https://website.viloforge.test/%zz", "https://website.viloforge.test/%",
	"https://evil.example/" + strings.Repeat("x", request.MaxReturnURL),
	// The account page, leading to where no login returns to, or to itself.
	loginAt + "/account?redirect_uri=https%3A%2F%2Fevil.example%2F", loginAt + "/account?redirect_uri=" + loginAt + "/account", loginAt + "/account?redirect_uri=https%3A%2F%2Fwebsite.viloforge.test%2F&x",
	loginAt + "/account?redirect_uri=https://website.viloforge.test/", loginAt + "/account?redirect_uri=",
}

// good survive byte for byte.
var good = []string{
	"https://website.viloforge.test", "https://website.viloforge.test/", "https://website.viloforge.test:443/", "https://website.viloforge.test?x", "https://website.viloforge.test#x", "https://website.viloforge.test//",
	"https://website.viloforge.test/x?a=1&b=%2F..%2f;c#frag", "https://website.viloforge.test/caf%C3%A9?q=%E2%82%AC+1", "https://website.viloforge.test/%7Euser/?", "https://website.viloforge.test/?", "https://website.viloforge.test/#",
	"https://website.viloforge.test/deep/link?redirect_uri=https%3A%2F%2Fevil.example", "https://website.viloforge.test/x?u=https://evil.example/@", "https://website.viloforge.test/@evil.example", "https://website.viloforge.test/a'b(c)*d!",
	"https://website.viloforge.test/?q={a|b}^`~[]", "https://website.viloforge.test/?q=a\\b", "https://website.viloforge.test/%25?%zz", "https://website.viloforge.test/:@&=+$,;", "https://website.viloforge.test/%0d%0a",
	"https://a.apps.viloforge.test/", "https://x--y.apps.viloforge.test/z", "https://7.apps.viloforge.test/", "https://xn--bcher-kva.apps.viloforge.test/", "https://website.viloforge.test/" + strings.Repeat("x", 8000),
}

func returnWorld(t *testing.T, home string) *world {
	return newWorld(t, func(o *Options) {
		o.RedirectPolicy = returning([]string{"website.viloforge.test", "*.apps.viloforge.test"}, home)
	})
}

func TestAReturnAddressThatIsNotOursEndsAtHome(t *testing.T) {
	t.Parallel()
	if len(hostile) < 150 {
		t.Errorf("only %d hostile addresses", len(hostile))
	}
	w := returnWorld(t, "")
	c := w.client().login("alice")
	ours := url.QueryEscape(good[0])
	for _, address := range hostile {
		escaped := url.QueryEscape(address)
		for _, query := range []string{
			"redirect_uri=" + escaped, "redirect_uri=" + escaped + "&redirect_uri=" + ours, "redirect_uri=" + ours + "&redirect_uri=" + escaped,
			"redirect_uri=" + ours + ";redirect_uri=" + escaped, "x=1&redirect_uri=" + escaped + "&y=2",
		} {
			if got := c.get("/login?" + query); got.status != http.StatusSeeOther || got.location() != "/account" {
				t.Errorf("%q in %.80s: %d to %q", address, query, got.status, got.location())
			}
		}
	}
	if got := c.get("/login?Redirect_URI=" + ours + "&redirect_uri[]=" + ours); got.location() != "/account" {
		t.Errorf("other spellings of the parameter: %q", got.location())
	}
}

func TestAGoodReturnAddressSurvivesByteForByte(t *testing.T) {
	t.Parallel()
	w := returnWorld(t, "")
	c := w.client().login("alice")
	for _, address := range good {
		if got := c.get("/login?redirect_uri=" + url.QueryEscape(address)); got.status != http.StatusSeeOther || got.location() != address {
			t.Errorf("%q: %d to %q", address, got.status, got.location())
		}
	}
	if got := c.get("/login?redirect_uri=" + url.QueryEscape(loginAt+"/account")); got.location() != "/account" {
		t.Errorf("the account page: %q", got.location())
	}
	const leading = "/account?redirect_uri=https%3A%2F%2Fwebsite.viloforge.test%2Fx%3Fa"
	if got := c.get("/login?redirect_uri=" + url.QueryEscape(loginAt+leading)); got.location() != leading {
		t.Errorf("the account page that leads back: %q", got.location())
	}
}

// TestAnAddressThatIsTooLongIsSaidToBe: on the form, or where somebody is signed in already.
func TestAnAddressThatIsTooLongIsSaidToBe(t *testing.T) {
	t.Parallel()
	w := returnWorld(t, "")
	for _, query := range []string{
		url.QueryEscape("https://website.viloforge.test/" + strings.Repeat("x", request.MaxReturnURL)),
		"https%3A%2F%2Fwebsite.viloforge.test%2F&" + request.ReturnURLTooLong + "=1",
	} {
		c := w.client()
		form := c.get("/login?redirect_uri=" + query)
		if form.status != http.StatusOK || !strings.Contains(form.body, "too long to be kept") || !strings.Contains(form.body, "start page of website.viloforge.test") {
			t.Errorf("the form: %d %s", form.status, form.body)
		}
		if got := c.submit(form.form(t, "username"), "username", "alice", "password", secret); got.status != http.StatusSeeOther || got.location() != "https://website.viloforge.test/" {
			t.Errorf("after it: %d to %q", got.status, got.location())
		}
		if got := c.get("/login?redirect_uri=" + query); got.status != http.StatusOK || !strings.Contains(got.body, "too long to be kept") || !strings.Contains(got.body, `href="https://website.viloforge.test/"`) {
			t.Errorf("signed in: %d %s", got.status, got.body)
		}
	}
}

func TestTheReturnAddressIsJudgedAgainWhereThePasswordIsGiven(t *testing.T) {
	t.Parallel()
	w := returnWorld(t, "")
	const website = "https://website.viloforge.test/x"
	for name, test := range map[string]struct{ address, smuggled, want string }{
		"good":            {website, "", website},
		"hostile":         {"https://evil.example/", "", "/account"},
		"in the form":     {"", "https://evil.example/", "/account"},
		"in both":         {website, "//evil.example", website},
		"ours, in a form": {"", website, "/account"},
	} {
		c := w.client()
		f := c.get("/login?redirect_uri="+url.QueryEscape(test.address)).form(t, "username")
		if test.smuggled != "" {
			f.fields.Set("redirect_uri", test.smuggled)
		}
		if got := c.submit(f, "username", "alice", "password", secret); got.status != http.StatusSeeOther || got.location() != test.want {
			t.Errorf("%s: %d to %q, want %q", name, got.status, got.location(), test.want)
		}
	}
	// A wrong password keeps the address, in the place where it stands.
	c := w.client()
	again := c.try("/login?redirect_uri="+url.QueryEscape(website), "alice", "wrong")
	if got := c.submit(again.form(t, "username"), "username", "alice", "password", secret); got.location() != website {
		t.Errorf("after a wrong password: %q", got.location())
	}
}

func TestThePublicPortIsPartOfTheAddress(t *testing.T) {
	t.Parallel()
	r, err := NewRedirectPolicy([]string{"*.viloforge.test"}, "", loginHost, 8443)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"https://website.viloforge.test:8443/": true, "https://website.viloforge.test:8443": true, "https://website.viloforge.test/": false, "https://website.viloforge.test:443/": false,
		"https://website.viloforge.test:08443/": false, "https://login.viloforge.test:8443/account": true, "https://login.viloforge.test/account": false, "https://login.viloforge.test:8443/x": false,
	} {
		if _, ok := r.validate(address); ok != want {
			t.Errorf("%s: %t", address, ok)
		}
	}
}

func TestHomeMayBeElsewhere(t *testing.T) {
	t.Parallel()
	w := returnWorld(t, "https://www.elsewhere.example/start?x")
	page := w.client().get("/login?redirect_uri=" + url.QueryEscape("https://evil.example/"))
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://www.elsewhere.example") || strings.Contains(policy, "evil") {
		t.Errorf("Content-Security-Policy %q: browsers would not follow the form there", policy)
	}
	if got := w.client().try("/login", "alice", secret); got.location() != "https://www.elsewhere.example/start?x" {
		t.Errorf("%q", got.location())
	}
	for _, home := range []string{"//evil.example", "http://x.example/", "account", "/a b", "/\\x", "https://", "javascript:x"} {
		if _, err := NewRedirectPolicy(nil, home, loginHost, 443); err == nil {
			t.Errorf("home %q was taken", home)
		}
	}
	for _, host := range []string{"", "*", "*.", "*.*.x", "https://x.example", "x.example:443", "X.example", "a.*.example", ".x", "x."} {
		if _, err := NewRedirectPolicy([]string{host}, "", loginHost, 443); err == nil {
			t.Errorf("return host %q was taken", host)
		}
	}
}

func TestReturnHostsChangeWhileItRuns(t *testing.T) {
	t.Parallel()
	current := returning([]string{"website.viloforge.test"}, "")
	w := newWorld(t, func(o *Options) { o.RedirectPolicy = func() *RedirectPolicy { return current() } })
	c := w.client().login("alice")
	path := "/login?redirect_uri=" + url.QueryEscape("https://new.viloforge.test/")
	if got := c.get(path); got.location() != "/account" {
		t.Errorf("before: %q", got.location())
	}
	current = returning([]string{"new.viloforge.test"}, "")
	if got := c.get(path); got.location() != "https://new.viloforge.test/" {
		t.Errorf("after: %q", got.location())
	}
}

func FuzzReturnAddress(f *testing.F) {
	for _, address := range append(append([]string{}, hostile...), good...) {
		if len(address) < 200 {
			f.Add(address)
		}
	}
	r, err := NewRedirectPolicy([]string{"website.viloforge.test", "*.apps.viloforge.test"}, "", loginHost, 443)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, address string) {
		to, ok := r.validate(address)
		if !ok || to.origin == "" {
			return
		}
		// Go's parser, which is another one, finds the same host, and so does one that reads every backslash before the
		// query as a slash and drops what browsers drop.
		u, err := url.Parse(address)
		if err != nil && strings.ContainsAny(address, "%[]:") {
			return // Go is stricter about what comes after the host
		}
		if err != nil || to.uri != address || u.Scheme != "https" || u.User != nil || "https://"+u.Host != to.origin ||
			u.Hostname() != "website.viloforge.test" && !strings.HasSuffix(u.Hostname(), ".apps.viloforge.test") {
			t.Errorf("%q is let pass: %+v, %v", address, u, err)
		}
	})
}
