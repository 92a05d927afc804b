package idp

import (
	"net/http"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// Cookies of the login host alone: no sibling host can set one whose name begins with __Host-.
const (
	sessionCookie = "__Host-session"
	csrfCookie    = "__Host-form"
	deviceCookie  = "__Host-device"
	loopCookie    = "__Host-loop"
)

// cookie returns the value of a cookie. Two of one name that disagree are none.
func (x *exchange) cookie(name string) (value string, ok bool) {
	for sent := range request.CookieValues(x.r.Header, name) {
		if ok && sent != value {
			return "", false
		}
		value, ok = sent, true
	}
	return value, ok
}

// sends reports whether the browser sends a cookie of that name.
func (x *exchange) sends(name string) bool {
	for range request.CookieValues(x.r.Header, name) {
		return true
	}
	return false
}

// setCookie sets a cookie of the login host; without a life it ends with the browser.
func (x *exchange) setCookie(name, value string, maxAge time.Duration) {
	http.SetCookie(x.w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: cookieMaxAge(maxAge), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// setSSO sets the cookie that every host of the domain gets. It lives as long as the session, longer than its token, so
// that it can still name the session to sign out.
func (x *exchange) setSSO(raw string, maxAge time.Duration) {
	if _, ok := x.cookie(x.idp.o.CookieName); !ok && x.sends(x.idp.o.CookieName) {
		x.setCookie(x.idp.o.CookieName, "", -1) // one of the two may be the login host's own
	}
	http.SetCookie(x.w, &http.Cookie{
		Name: x.idp.o.CookieName, Value: raw, Domain: x.idp.o.Domain, Path: "/", MaxAge: cookieMaxAge(maxAge),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// clearCookies deletes the cookies of a login, where the browser sends any of them.
func (x *exchange) clearCookies() {
	if x.sends(sessionCookie) {
		x.setCookie(sessionCookie, "", -1)
	}
	if x.sends(x.idp.o.CookieName) {
		x.setCookie(x.idp.o.CookieName, "", -1)
		x.setSSO("", -1)
	}
}

// cookieMaxAge is a Max-Age: 0 for none, negative for a cookie that is to go.
func cookieMaxAge(maxAge time.Duration) int {
	if maxAge < 0 {
		return -1
	}
	return int(maxAge / time.Second)
}

// readSession returns the secret of the session cookie, where there is one that could be ours.
func (x *exchange) readSession() (sessionSecret, bool) {
	value, ok := x.cookie(sessionCookie)
	if !ok {
		return sessionSecret{}, false
	}
	return parseSessionSecret(value)
}

// readDevice returns the secret of the device cookie, where there is one that could be ours.
func (x *exchange) readDevice() (deviceSecret, bool) {
	value, ok := x.cookie(deviceCookie)
	if !ok {
		return deviceSecret{}, false
	}
	return parseDeviceSecret(value)
}
