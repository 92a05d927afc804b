package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// sameOrigin is what a script of a page on app sends with a form or a fetch of its own.
const sameOrigin = "Sec-Fetch-Site: same-origin"

// absentIssuer is a site with our own IdP beside a partner whose keys nobody serves.
func absentIssuer(t *testing.T) (x issuerSite, alice string) {
	t.Helper()
	backend := record(t)
	x = issuerSite{partner: newSigner(t), backend: backend}
	x.site = serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf(`
tokens: { issuers: [ { name: partner, issuer: %q, audience: [for-us], jwks: "http://%s/keys", cookie: partner-sso, header: X-Partner-Login } ] }
upstreams: { app: { url: %q } }
`, partnerISS, freeAddress(t), backend.url()),
		"policies/app.yaml":      attackedPolicy,
		"policies/optional.yaml": "host: optional.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: optional } ]\n",
	})
	x.addUser("alice", "member")
	return x, x.client().login("alice").sso()
}

// TestTokenOfAnAbsentIssuerAmongOurs: what merely says that it is of an issuer whose keys are not there is no rival of
// alice's cookie, keeps her from neither page nor sign-out, and keeps nobody from the login.
func TestTokenOfAnAbsentIssuerAmongOurs(t *testing.T) {
	t.Parallel()
	x, alice := absentIssuer(t)
	planted := x.partnerToken(nil)
	expired := x.partnerToken(claims{"iat": time.Now().Add(-2 * time.Hour).Unix(), "exp": time.Now().Add(-time.Hour).Unix()})
	for _, p := range protocols() {
		ask := func(method, host, target string, header ...string) answer {
			return p.send(x.site, t, request{method: method, host: host, target: target, header: header})
		}
		for _, line := range []string{cookieLine(planted) + "; " + ssoCookie + "=" + alice, cookieLine(alice) + "; " + ssoCookie + "=" + planted} {
			for _, host := range []string{appHost, "optional.viloforge.test"} {
				if got := ask("GET", host, "/x", line); got.status != http.StatusOK {
					t.Errorf("%s %s: %v", p.name, host, got)
				}
			}
		}
		if got := ask("GET", appHost, "/x", append(navigation, cookieLine(planted))...); got.status != http.StatusFound {
			t.Errorf("%s: somebody without a cookie of ours is not sent to the login: %v", p.name, got)
		}
		if got := ask("GET", appHost, "/x", append(navigation, "Cookie: partner-sso="+expired)...); got.status != http.StatusFound {
			t.Errorf("%s: a token that has expired misses no keys: %v", p.name, got)
		}
		ours := x.client().login("alice").sso()
		if got := ask("GET", appHost, "/x", cookieLine(alice), "X-Partner-Login: "+ours); got.status != http.StatusOK {
			t.Errorf("%s: a token of ours in the partner's header: %v", p.name, got)
		}
		if got := ask("GET", appHost, "/x", "Cookie: partner-sso="+planted); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: the partner's own user: %v", p.name, got)
		}
		for _, line := range []string{cookieLine(planted) + "; " + ssoCookie + "=" + ours, cookieLine(ours) + "; " + ssoCookie + "=" + planted} {
			if got := ask("POST", appHost, "/.vilogate/logout", line, sameOrigin); got.status != http.StatusNoContent {
				t.Errorf("%s: signing out: %v", p.name, got)
			}
		}
	}
}

// TestSeventeenValuesOfACookie: sixteen values that say our issuer and a key of its are judged; what could never be a token
// of ours is none of them, however many there are, and costs nobody the login.
func TestSeventeenValuesOfACookie(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	alice := x.ownToken(nil)
	forged := func(n int) (values []string) {
		for i := range n {
			values = append(values, fmt.Sprintf("%s%04dAAAAAAAAAAAA", alice[:len(alice)-16], i))
		}
		return values
	}
	short := make([]string, 2500)
	for i := range short {
		short[i] = fmt.Sprintf("%03x", i)
	}
	elsewhere := make([]string, 40)
	for i := range elsewhere {
		elsewhere[i] = x.ownToken(claims{"aud": "elsewhere", "jti": fmt.Sprint(i)})
	}
	for name, c := range map[string]struct {
		values         []string
		status, logout int
	}{
		"one more":             {append(forged(16), alice), 401, 409},
		"sixteen":              {append(forged(15), alice), 200, 204},
		"short ones":           {append(short, alice), 200, 204},
		"for another audience": {append(elsewhere, alice), 200, 204},
	} {
		for _, p := range protocols() {
			mine := append(slices.Clone(c.values[:len(c.values)-1]), x.ownToken(claims{"sid": strings.ReplaceAll(p.name+name, " ", "-")}))
			for _, values := range [][]string{mine, append(mine[len(mine)-1:], mine[:len(mine)-1]...)} {
				line := "Cookie: jwt=x; " + ssoCookie + "=" + strings.Join(values, ";"+ssoCookie+"=")
				if got := p.send(x.site, t, request{host: appHost, target: "/x", header: []string{line}}); got.status != c.status {
					t.Errorf("%s: %s: got %v, want %d", p.name, name, got, c.status)
				}
			}
			got := p.send(x.site, t, request{method: "POST", host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(strings.Join(mine, "; "+ssoCookie+"=")), sameOrigin}})
			if got.status != c.logout {
				t.Errorf("%s: signing out, %s: got %v, want %d", p.name, name, got, c.logout)
			}
		}
	}
}

// TestTooManyCookiesToSignOut: with one value too many neither the gateway nor the login host ends anything, and neither says
// so; the page of each has a button that removes the cookies, which no page elsewhere can press.
func TestTooManyCookiesToSignOut(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t)
	values := []string{a.alice}
	for i := range 16 {
		values = append(values, fmt.Sprintf("%s%04dAAAAAAAAAAAA", a.alice[:len(a.alice)-16], i))
	}
	tossed := ssoCookie + "=" + strings.Join(values, "; "+ssoCookie+"=")
	const loginHost = "login.viloforge.test"
	const formType = "Content-Type: application/x-www-form-urlencoded"
	page := []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html"}
	removes := func(got answer) bool { return got.header.Get("Clear-Site-Data") == `"cookies"` }
	for _, p := range protocols() {
		send := func(method, host, target, body string, header ...string) answer {
			return p.send(a.site, t, request{method: method, host: host, target: target, body: body, header: append(header, page...)})
		}
		got := send("POST", appHost, "/.vilogate/logout", "", "Cookie: "+tossed, sameOrigin)
		if got.status != http.StatusConflict || removes(got) || len(got.header.Values("Set-Cookie")) > 0 || !strings.Contains(got.body, `action="/.vilogate/remove-cookies"`) ||
			!strings.Contains(got.header.Get("Content-Security-Policy"), "form-action 'self'") {
			t.Errorf("%s: the gateway: %v", p.name, got)
		}
		for _, elsewhere := range [][]string{{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, {"Sec-Fetch-Site: same-site", "Origin: https://other.viloforge.test"}, nil} {
			if got := send("POST", appHost, "/.vilogate/remove-cookies", "", append(elsewhere, "Cookie: "+tossed)...); got.status != http.StatusForbidden || removes(got) {
				t.Errorf("%s: the button, pressed by %q: %v", p.name, elsewhere, got)
			}
		}
		if got := send("POST", appHost, "/.vilogate/remove-cookies", "", "Cookie: "+tossed, sameOrigin); got.status != http.StatusOK || !removes(got) || strings.Contains(got.body, "signed out") {
			t.Errorf("%s: the button: %v", p.name, got)
		}
		got = send("GET", loginHost, "/logout?done", "", "Cookie: "+tossed)
		if got.status != http.StatusConflict || removes(got) {
			t.Fatalf("%s: the login host: %v", p.name, got)
		}
		cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
		button := formIn(t, a.url("login", "/logout"), got.body, "form_token")
		alone := send("GET", loginHost, "/logout", "", cookieLine(a.alice)+"; "+cookie)
		form := formIn(t, a.url("login", "/logout"), alone.body, "form_token").fields.Encode()
		if got := send("POST", loginHost, "/logout", form, "Cookie: "+tossed+"; "+cookie, formType, sameOrigin); got.status != http.StatusConflict || len(got.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: the form of the login host: %v", p.name, got)
		}
		if got := send("POST", loginHost, "/remove-cookies", form, "Cookie: "+tossed+"; "+cookie, formType, sameOrigin); got.status != http.StatusForbidden || removes(got) {
			t.Errorf("%s: the button of the login host, with another form's token: %v", p.name, got)
		}
		if got := send("POST", loginHost, "/remove-cookies", button.fields.Encode(), "Cookie: "+tossed+"; "+cookie, formType, sameOrigin); got.status != http.StatusOK || !removes(got) || strings.Contains(got.body, "signed out") {
			t.Errorf("%s: the button of the login host: %v", p.name, got)
		}
		if got := send("GET", appHost, "/x", "", cookieLine(a.alice)); got.status != http.StatusOK {
			t.Errorf("%s: alice was signed out all the same: %v", p.name, got)
		}
	}
}
