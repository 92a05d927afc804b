package idp

import (
	"net/http"
	"slices"
	"time"
)

// Cookies of the login host alone: no sibling host can set one whose name begins with __Host-.
const (
	sessionCookie = "__Host-session"
	csrfCookie    = "__Host-form"
	deviceCookie  = "__Host-device"
)

// maxSSOCookies is how many different SSO cookies of one request are verified: each costs the verification of a signature. A
// browser with one of our own, one of the domain and one of the domain above has three.
const maxSSOCookies = 4

// cookie returns the value of a cookie. Two of one name that disagree are none.
func (x *exchange) cookie(name string) (value string, ok bool) {
	for _, c := range x.r.CookiesNamed(name) {
		if ok && c.Value != value {
			return "", false
		}
		value, ok = c.Value, true
	}
	return value, ok
}

// ssoCookies returns the different values of the SSO cookie; not ok, and none, where they are too many to judge.
func (x *exchange) ssoCookies() (values []string, ok bool) {
	for _, c := range x.r.CookiesNamed(x.idp.o.CookieName) {
		if slices.Contains(values, c.Value) {
			continue
		}
		if len(values) == maxSSOCookies {
			return nil, false
		}
		values = append(values, c.Value)
	}
	return values, true
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
	if _, ok := x.cookie(x.idp.o.CookieName); !ok && len(x.r.CookiesNamed(x.idp.o.CookieName)) > 0 {
		x.setCookie(x.idp.o.CookieName, "", -1) // one of the two may be the login host's own
	}
	http.SetCookie(x.w, &http.Cookie{
		Name: x.idp.o.CookieName, Value: raw, Domain: x.idp.o.Domain, Path: "/", MaxAge: cookieMaxAge(maxAge),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// clearCookies deletes the cookies of a login, where the browser sends any of them.
func (x *exchange) clearCookies() {
	if len(x.r.CookiesNamed(sessionCookie)) > 0 {
		x.setCookie(sessionCookie, "", -1)
	}
	if len(x.r.CookiesNamed(x.idp.o.CookieName)) > 0 {
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
