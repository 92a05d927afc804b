package token_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// The people of other issuers are called what they are called there, and are never one of ours.
func TestPeopleOfOtherIssuers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, subject := range []any{
		"auth0|5f7c8ec7c33c6c004bbafe82", "repo:octo-org/octo-repo:ref:refs/heads/main", "system:serviceaccount:default:builder",
		"spiffe://example.org/ns/default/sa/web", "accounts.google.com:1101694", "jürgen müller", "100%", "王小明", json.Number("110169484474386"), "vilogate:alice",
	} {
		want := "partner:" + strings.Trim(string(mustJSON(t, subject)), `"`)
		c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"sub": subject, "preferred_username": nil})), now)
		if err != nil {
			t.Errorf("%v: %v", subject, err)
		} else if c.Subject() != want || c.User() != want {
			t.Errorf("%v is %q, called %q", subject, c.Subject(), c.User())
		}
	}
	for _, name := range []string{"pat.o'brien@acme.example", "bob_gmail.com#EXT#@acme.onmicrosoft.com", "jürgen", `CONTOSO\alice`, "Alice Liddell", "vilogate:alice", "a,b"} {
		c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"preferred_username": name})), now)
		if err != nil || c.User() != "partner:"+name || c.Subject() != "partner:77" {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	// A name that cannot be shown is not shown: the person is the subject.
	for _, name := range []any{"", "a\x00", "a\nX-User: root", "\u202eecila", "a\u2066", strings.Repeat("a", 256), 7, []string{"alice"}, true} {
		c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"preferred_username": name})), now)
		if err != nil || c.User() != "partner:77" {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, subject := range []any{
		"", "a\x00", "a\nb", "a\tb", "\u202eecila", "a\u2066", "a\u200f", "\ufeffa", "a\u2028", strings.Repeat("a", 256), true,
		[]string{"a"},
		json.Number("-7"), json.Number("7.0"), json.Number("7e3"), json.Number("1234567890123456"),
	} {
		refused(t, w, w.other.sign(t, nil, partner().but(claims{"sub": subject})))
	}
}

// Only where the configuration says that an issuer's user names are ours do they stand as ours, and then they must be like ours.
func TestNoNameIsOursUnlessConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[1].ClaimUser = "upn" })
	c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"upn": "alice", "sub": "auth0|7"})), now)
	if err != nil || c.User() != "alice" || c.Subject() != "partner:auth0|7" {
		t.Errorf("%v, %v", c, err)
	}
	// As Django's own may be.
	c, err = w.Verify(w.other.sign(t, nil, partner().but(claims{"upn": "jürgen"})), now)
	if err != nil || c.User() != "jürgen" {
		t.Errorf("%v, %v", c, err)
	}
	for _, name := range []any{nil, "", "Alice Liddell", `CONTOSO\alice`, "ju\u0308rgen", "\uff41lice", "partner:alice", 7.5, -7, true} {
		refused(t, w, w.other.sign(t, nil, partner().but(claims{"upn": name})))
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What decides nothing refuses nobody.
func TestClaimsThatDecideNothingRefuseNoToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, test := range []struct {
		claim string
		value any
		name  string
		amr   []string
	}{
		{"amr", "pwd", "", []string{"pwd"}},
		{"amr", []any{claims{"method": "password", "timestamp": 7}, claims{"method": "totp"}}, "", []string{"password", "totp"}},
		{"amr", []any{7, "pwd", claims{"how": "x"}, "a\nb", nil}, "", []string{"pwd"}},
		{"amr", claims{"method": "pwd"}, "", nil},
		{"amr", 7, "", nil},
		{"amr", "", "", nil},
		{"amr", slices.Repeat([]string{"pwd"}, 20), "", slices.Repeat([]string{"pwd"}, 16)},
		{"name", "Dana\tLevi\n", "Dana Levi", nil},
		{"name", "דנה\u200f לוי", "דנה לוי", nil},
		{"name", "a\u2028b\u202ec\ufeff\u0000", "a bc", nil},
		{"name", strings.Repeat("王", 90), strings.Repeat("王", 85), nil},
		{"name", strings.Repeat("a", 300), strings.Repeat("a", 256), nil},
		{"name", 7, "", nil},
		{"name", []string{"Dana"}, "", nil},
		{"name", "\u200f\t", "", nil},
	} {
		c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{test.claim: test.value})), now)
		if err != nil || c.Name() != test.name || !slices.Equal(c.AMR(), test.amr) {
			t.Errorf("%s %q: %v", test.claim, test.value, err)
			if err == nil {
				t.Errorf("name %q, amr %q", c.Name(), c.AMR())
			}
			continue
		}
		assertion := assertionForAlice()
		assertion.Name, assertion.AMR = c.Name(), c.AMR()
		if _, err := w.idp.private.SignAssertion(assertion); err != nil {
			t.Errorf("%s %q: no backend would be told: %v", test.claim, test.value, err)
		}
	}
}

// An address decides where policies ask for it: the first of a list, or none.
func TestAddressesOfOtherIssuers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[1].ClaimEmail = "emails" })
	for _, test := range []struct {
		value any
		want  string
	}{
		{[]string{"a@acme.example", "b@acme.example"}, "a@acme.example"}, {"a@acme.example", "a@acme.example"}, {[]string{}, ""}, {nil, ""}, {json.RawMessage("null"), ""},
	} {
		c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"emails": test.value, "email_verified": true})), now)
		if err != nil || c.Email() != test.want || c.EmailVerified() {
			t.Errorf("%q: %v, %v", test.value, c, err)
		}
	}
	for _, value := range []any{7, []any{7}, []any{[]string{"a@acme.example"}}, "a\nb@acme.example", []string{"a\u202e@b"}, strings.Repeat("a", 255)} {
		refused(t, w, w.other.sign(t, nil, partner().but(claims{"emails": value})))
	}
	plain := newWorld(t)
	c, err := plain.Verify(plain.other.sign(t, nil, partner().but(claims{"email": []string{"a@acme.example"}, "email_verified": true})), now)
	if err != nil || c.EmailVerified() {
		t.Errorf("which of a list is verified? %v", err)
	}
}

// A backend is told of people as they are called, and takes nobody of another issuer for one of ours.
func TestAnAssertionTellsOfPeopleOfOtherIssuers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, person := range []string{"kc:Alice Liddell", "kc:jürgen", `kc:CONTOSO\alice`, "k8s:system:serviceaccount:ns:sa", "kc:" + strings.Repeat("ü", 127)} {
		a := assertionForAlice()
		a.Subject, a.User = person, person
		raw, err := w.idp.private.SignAssertion(a)
		if err != nil {
			t.Errorf("%s: %v", person, err)
			continue
		}
		got, err := token.VerifyAssertion(raw, w.config.Issuers[0].Keys, gatewayISS, "billing", now)
		if err != nil || got.Subject != person || got.User != person {
			t.Errorf("%s: %+v, %v", person, got, err)
		}
	}
	for _, person := range []string{"Alice Liddell", "\uff41lice", "KC:alice b", ":alice b", "kc:", "kc:a\nb", "kc:\u202ea", "kc:" + strings.Repeat("a", 256), strings.Repeat("k", 65) + ":ü"} {
		for _, change := range []func(*token.Assertion){
			func(a *token.Assertion) { a.Subject = person },
			func(a *token.Assertion) { a.User = person },
		} {
			a := assertionForAlice()
			change(&a)
			if _, err := w.idp.private.SignAssertion(a); err == nil {
				t.Errorf("told of %q", person)
			}
		}
	}
}

func TestPercentEncodingIsVisibleASCIIAndHasOneMeaning(t *testing.T) {
	t.Parallel()
	for plain, want := range map[string]string{
		"": "", "auth0|5f7c": "auth0|5f7c", "a b": "a%20b", "100%": "100%25", "100%25": "100%2525", "jürgen": "j%C3%BCrgen", "a\x7f\n": "a%7F%0A", "o'b#\\": "o'b#\\",
	} {
		if got := token.PercentEncode(plain); got != want {
			t.Errorf("%q is %q, want %q", plain, got, want)
		}
	}
}

// AD FS writes auth_time as a text.
func TestAuthTimeAsATextCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := now.Add(-time.Hour).UTC().Truncate(time.Second)
	c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"auth_time": at.Format("2006-01-02T15:04:05.127Z")})), now)
	if err != nil || !c.AuthTime().Equal(at) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := w.Verify(w.idp.sign(t, nil, own().but(claims{"auth_time": at.Format(time.RFC3339)})), now); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("our own: %v", err)
	}
}

// What decides is as strict as ever.
func TestWhatDecidesStillRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, list := range map[string][]any{
		"iat": {nil, "1", 0}, "exp": {nil, "1", 0}, "nbf": {"1", true}, "auth_time": {"1", now.Unix() + 3600, now.Add(time.Hour).Format(time.RFC3339), "2026-13-01T00:00:00Z"}, "jti": {"a b", 7, ""}, "sid": {"a\nb", 7}, "aud": {nil, "else", 7},
		"email": {7, "a\nb", "a\u202e"},
	} {
		for _, v := range list {
			if _, err := w.Verify(w.other.sign(t, nil, partner().but(claims{name: v})), now); !errors.Is(err, token.ErrInvalid) {
				t.Errorf("%s %v: %v", name, v, err)
			}
		}
	}
}
