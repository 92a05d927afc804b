package idp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// CSRF protection, login CSRF included, is a signed double-submit cookie: forms are bound to their browser. A cookie holds a random value, which __Host- keeps sibling hosts
// from planting; the form holds a MAC of that value's digest, of the form's purpose, and of the session that it acts for. Another
// site can have a browser send our cookies, but can neither read them nor make the MAC. Nothing is stored, and a page may
// stay open for as long as its reader likes.
//
// Of tabs that are opened before there is a cookie each is given one, and the browser keeps the last. So a form that was
// given out with another cookie counts as well where the browser says that it was sent by a page of this very origin (Fetch
// Metadata, Origin), which no page elsewhere can have it say.

const (
	// maxForm bounds a form's bytes.
	maxForm = 64 << 10
	// formTimeout bounds how long reading all of them may take (slow clients).
	formTimeout = 30 * time.Second
	// csrfField is the hidden field of every form.
	csrfField = "form_token"
)

// A form's purpose.
const (
	loginForm   = "login"
	logoutForm  = "logout"
	accountForm = "account"
	cookiesForm = "remove-cookies"
)

// csrfToken returns the CSRF token that the hidden field of a form holds, and gives the browser its cookie where it has none.
func (x *exchange) csrfToken(purpose, session string) string {
	value, ok := x.csrfCookie()
	if !ok {
		raw := make([]byte, secretBytes)
		rand.Read(raw)
		value = base64.RawURLEncoding.EncodeToString(raw)
		x.setCookie(csrfCookie, value, 0)
	}
	digest := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(append(digest[:], x.idp.csrfMAC(digest, purpose, session)...))
}

// csrfCookie returns the browser's cookie, where there is one that could be ours.
func (x *exchange) csrfCookie() (value string, ok bool) {
	value, ok = x.cookie(csrfCookie)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	return value, ok && err == nil && len(raw) == secretBytes
}

// validCSRFToken reports whether the CSRF token of the form was made for this purpose, and given to this browser: with the
// cookie that it has, or with another one and sent by a page of this origin. A browser that keeps no cookie is not signed in.
func (x *exchange) validCSRFToken(form url.Values, purpose, session string) bool {
	value, ok := x.csrfCookie()
	tokens := form[csrfField]
	if !ok || len(tokens) != 1 {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(tokens[0])
	if err != nil || len(raw) != 2*sha256.Size {
		return false
	}
	digest := [sha256.Size]byte(raw)
	if !hmac.Equal(raw[sha256.Size:], x.idp.csrfMAC(digest, purpose, session)) {
		return false
	}
	return digest == sha256.Sum256([]byte(value)) || x.isFromOwnOrigin()
}

// isFromOwnOrigin reports whether the browser says that a page of the login host made the request.
func (x *exchange) isFromOwnOrigin() bool {
	h := x.r.Header
	return request.CSRFSafe(request.CSRFFacts{
		Method: x.r.Method, SecFetchSite: h.Get("Sec-Fetch-Site"), SecFetchMode: h.Get("Sec-Fetch-Mode"), Origin: h["Origin"],
		SelfOrigin: request.Origin(x.idp.origin),
	})
}

func (p *IDP) csrfMAC(digest [sha256.Size]byte, purpose, session string) []byte {
	mac := hmac.New(sha256.New, p.csrfKey)
	mac.Write(digest[:])
	mac.Write([]byte(purpose + "\x00" + session))
	return mac.Sum(nil)
}

// readForm reads the form that a browser posts. A field that is given twice has two meanings, and is refused.
func (x *exchange) readForm() (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &refusal{
			status: http.StatusUnsupportedMediaType, kind: "unsupported-media-type", title: "Not a form",
			detail: "This address takes a form, as its own page sends it.",
		}
	}
	body, err := x.readBody()
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, refuseMalformed(err)
	}
	for name, values := range form {
		if len(values) != 1 && name != "redirect_uri" {
			return nil, refuseMalformed(errors.New("a field is given twice"))
		}
	}
	return form, nil
}

// expiredDeadline is a read deadline that has passed.
var expiredDeadline = time.Unix(1, 0)

// readBody reads the bytes of a form, unless they are too many or take too long.
func (x *exchange) readBody() ([]byte, error) {
	// The deadline is set when it has passed, not before: a gateway in this process takes deadlines back at the first read.
	control, deadlineSet := http.NewResponseController(x.w), make(chan error, 1)
	timer := time.AfterFunc(formTimeout, func() { deadlineSet <- control.SetReadDeadline(expiredDeadline) })
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxForm))
	if !timer.Stop() {
		// Also when the last byte came at that moment, or when deadlines are not supported. The timer's goroutine has ended
		// before the handler does: nothing is set on a connection that is another request's.
		err = errors.Join(os.ErrDeadlineExceeded, <-deadlineSet)
	}
	if err == nil {
		return body, nil
	}
	if x.r.ProtoMajor == 1 {
		x.w.Header().Set("Connection", "close") // else net/http waits for the rest of the body before it answers
	}
	switch _, over := errors.AsType[*http.MaxBytesError](err); {
	case over:
		return nil, &refusal{
			status: http.StatusRequestEntityTooLarge, kind: "too-large", title: "Too large",
			detail: "The form is larger than any form of ours.", cause: err,
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &refusal{
			status: http.StatusRequestTimeout, kind: "timeout", title: "Too slow",
			detail: "The form took too long to arrive. Please try again.", cause: err,
		}
	default:
		return nil, refuseMalformed(err)
	}
}
