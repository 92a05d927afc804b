package edge

import (
	"net/http"
	"net/url"
	"strings"
)

// originForm has what follows see a request target in absolute-form with https as any
// other: in origin-form, or in asterisk-form for OPTIONS of no path (RFC 9112, section
// 3.2). Its host has become Request.Host, and is what Host named, or the framing would
// have refused the message. Another scheme, or a fragment, stays for the handler to
// refuse. In HTTP/2 there is no such form.
func originForm(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && isHTTPS(r.RequestURI) {
			toOriginForm(r)
		}
		next.ServeHTTP(w, r)
	})
}

// toOriginForm changes the target of a request.
func toOriginForm(r *http.Request) {
	target := ""
	if i := strings.IndexAny(r.RequestURI[len(httpsPrefix):], "/?#"); i >= 0 {
		target = r.RequestURI[len(httpsPrefix)+i:]
	}
	switch {
	case target == "" && r.Method == http.MethodOptions:
		target = "*"
	case target == "" || target[0] == '?':
		target = "/" + target
	case target[0] == '#':
		return
	}
	if address, err := url.ParseRequestURI(target); err == nil {
		r.RequestURI, r.URL = target, address
	}
}
