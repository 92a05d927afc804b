package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

func TestEveryClaimOfOurOwnIsRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name := range own() {
		if name != "iss" { // without it, it is of the issuer that does not name itself
			refused(t, w, w.idp.sign(t, nil, own().but(claims{name: nil})))
		}
		refused(t, w, w.idp.raw(t, w.idp.header(nil).json(t), own().but(claims{name: json.RawMessage("null")}).json(t)))
		refused(t, w, w.idp.sign(t, nil, own().but(claims{name: claims{"a": 1}})))
	}
	refused(t, w, w.idp.sign(t, nil, own().but(claims{"iss": nil})))
	for _, name := range []string{"sub", "iat", "exp", "aud"} {
		refused(t, w, w.other.sign(t, nil, partner().but(claims{name: nil})))
	}
}

func TestHostileClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, list := range map[string][]any{
		"sub":                {"", "a\x00", "a\nb", "a\tb", "a b", "\u202eecila", "a\u200b", "alice\u0301", "\ufeffa", strings.Repeat("a", 256), 7, true, []string{"a"}},
		"jti":                {"", "a\x00", "a\u202e", strings.Repeat("a", 256), 7},
		"sid":                {"", "a\r\nX-User: root", "a\u2066", 7},
		"preferred_username": {"", "Alice", "alice:x", "partner:Carol", "a b", "a\x00", "аlice", "alice\u202e", "a/b", "a,b", "%61", strings.Repeat("a", 151), 7},
		"name":               {"a\x00", "a\nb", "a\u202eb", "a\u2066b", "a\u200fb", "a\u2028b", "\u0085", "a\u061cb", strings.Repeat("a", 257), 7, []string{}},
		"email":              {"a\x00@b", "a\r\nBcc: x", "a\u202e@b", strings.Repeat("a", 255), 7},
		"roles":              {"admin", []any{"admin", 7}, []string{""}, []string{"Admin"}, []string{"a,b"}, []string{"-a"}, []string{"ädmin"}, []string{strings.Repeat("a", 65)}, claims{"admin": true}},
		"amr":                {"pwd", []any{7}, []string{""}, []string{"a\nb"}, strings.Split(strings.Repeat("x", 17), "")},
		"aud":                {"", "elsewhere", []string{}, []string{"elsewhere"}, []any{audience, 7}, 7, claims{audience: 1}, "Example", "example "},
		"iss":                {ownISS + "/", "HTTPS://login.example.test", 7, []string{ownISS}, ""},
		"exp":                {0, -1, "9999999999", 1e300, json.Number("1e10"), json.Number("99999999999999999999"), json.Number("253402300800"), json.Number("18446744073709551617"), true, now.Unix()},
		"iat":                {0, -1, "1", json.Number("1e3"), true, now.Add(2 * time.Hour).Unix()},
		"nbf":                {0, -1, "1", true, now.Add(2 * time.Hour).Unix()},
		"auth_time":          {0, "1", now.Add(2 * time.Minute).Unix()},
	} {
		for _, v := range list {
			raw := w.idp.sign(t, nil, own().but(claims{name: v}))
			if _, err := w.Verify(raw, now); !errors.Is(err, token.ErrInvalid) && !(name == "iss" && errors.Is(err, token.ErrUnknownIssuer)) {
				t.Errorf("%s %#v: %v", name, v, err)
			}
		}
	}
	for name, text := range map[string]string{
		"half a surrogate pair":    `"name":"\ud83d"`,
		"the wrong half":           `"name":"\ude00\ud83d"`,
		"invalid UTF-8":            "\"name\":\"\xff\"",
		"overlong UTF-8":           "\"name\":\"\xc0\xaf\"",
		"surrogate as UTF-8":       "\"name\":\"\xed\xa0\x80\"",
		"a raw control character":  "\"name\":\"a\x01\"",
		"an escaped control":       `"name":"a\u0000"`,
		"a replacement character":  `"name":"a\ufffd"`,
		"a number that is not one": `"name":"a","exp":01795489200`,
	} {
		payload := own().but(claims{"name": nil, "exp": nil}).json(t)
		payload = payload[:len(payload)-1] + `,` + text + `}`
		if !strings.Contains(text, "exp") {
			payload = payload[:len(payload)-1] + `,"exp":1795489200}`
		}
		t.Run(name, func(t *testing.T) { refused(t, w, w.idp.raw(t, w.idp.header(nil).json(t), payload)) })
	}
	for name, good := range map[string]any{
		"name":  "Zoë O’Brien-محمد 👩‍💻", // any language, and a joiner
		"email": "zoë@exämple.test",
		"exp":   json.Number("1795489200.75"),
		"roles": []string{"b", "a", "a"},
	} {
		if _, err := w.Verify(w.idp.sign(t, nil, own().but(claims{name: good})), now); err != nil {
			t.Errorf("%s %v: %v", name, good, err)
		}
	}
}

func TestJSONThatIsNotQuiteAnObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payload, header := own().json(t), w.idp.header(nil).json(t)
	for name, text := range map[string]string{
		"something behind":     payload + "{}",
		"a second object":      payload + "\n" + payload,
		"a comma at the end":   payload[:len(payload)-1] + ",}",
		"a comment":            payload + "/**/",
		"a byte order mark":    "\ufeff" + payload,
		"a list around it":     "[" + payload + "]",
		"text":                 `"x"`,
		"empty":                "",
		"null":                 "null",
		"single quotes":        strings.ReplaceAll(payload, `"`, `'`),
		"NaN":                  payload[:len(payload)-1] + `,"x":NaN}`,
		"nested 5,000 deep":    payload[:len(payload)-1] + `,"x":` + strings.Repeat("[", 2500) + strings.Repeat("]", 2500) + `}`,
		"nested and unclosed":  payload[:len(payload)-1] + `,"x":` + strings.Repeat(`{"a":`, 800),
		"many members":         payload[:len(payload)-1] + manyMembers(600) + `}`,
		"too long for a token": payload[:len(payload)-1] + `,"x":"` + strings.Repeat("x", 8<<10) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, w, w.idp.raw(t, header, text))
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	return b.String()
}
