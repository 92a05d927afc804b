package forwardauth

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// A Dialect is how a proxy asks, and how it takes the answer.
type Dialect uint8

// The dialects.
const (
	Forwarded Dialect = iota + 1 // by X-Forwarded-Method and X-Forwarded-Uri; passes on any answer that is not 2xx
	Original                     // by X-Original-*; takes 2xx, 401 and 403 alone
	Prefixed                     // by a request for what stands behind Path; passes on any answer but 200
	Envoy                        // by a call of gRPC; package extauthz reads it
)

// String is how records call it.
func (d Dialect) String() string {
	return [...]string{"unknown", "x-forwarded", "x-original", "envoy-http", "envoy-grpc"}[d]
}

// Request is the original request, which the proxy holds, as far as it tells: nothing of it has been checked.
type Request struct {
	Dialect   Dialect
	Method    string
	Authority string // host, with a port or without
	Target    string // path and query, as they were sent
}

// An AuthRequest is the request by which a proxy asks (auth_request of nginx, ForwardAuth of Traefik).
type AuthRequest struct {
	Method, Host, Target string
	Header               map[string][]string // by canonical name
	// Serves reports whether a host, without a port, is one that requests are decided for. The Host of an asking request is the
	// asked server's own for some proxies, and for others that of the request that they hold.
	Serves func(host string) bool
}

// An Error says what is missing, or which headers contradict each other: the names of headers, and nothing of what was sent.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

// IsSecure reports whether a scheme says that a request came over TLS, as it is of HTTP or of a WebSocket.
func IsSecure(scheme string) bool {
	return field.Same(scheme, "https") || field.Same(scheme, "wss")
}

// Read reads what is held. Where it fails, the dialect is known all the same, as far as it can be. The error is an *Error.
func Read(a AuthRequest) (Request, error) {
	h := Request{Dialect: a.dialect()}
	for name := range a.Header {
		if of := aliasOf(name); of != "" {
			return h, &Error{"a header has a name that other servers take for " + of}
		}
	}
	for _, name := range requestHeaders {
		if len(a.Header[name]) > 1 {
			return h, &Error{name + " is there twice"}
		}
	}
	facts := a.facts(h.Dialect)
	for _, read := range []struct {
		into *string
		what *fact
	}{{&h.Method, &facts.method}, {&h.Target, &facts.target}, {&h.Authority, &facts.host}} {
		var err error
		if *read.into, err = read.what.agreed(); err != nil {
			return h, err
		}
	}
	scheme, err := facts.scheme.agreed()
	switch {
	case err != nil:
		return h, err
	case !IsSecure(scheme):
		return h, &Error{forwardedScheme + " is not https: only what came over TLS is decided on"}
	}
	return h, nil
}

// dialect is how the proxy asks. A client that adds headers of another way can have only itself refused in another form.
func (a *AuthRequest) dialect() Dialect {
	switch {
	case !IsPath(a.Target):
		return Prefixed
	case a.has(originalMethod) || a.has(originalTarget) || a.has(originalURL):
		if !a.has(forwardedMethod) || !a.has(forwardedTarget) {
			return Original
		}
	}
	return Forwarded
}

func (a *AuthRequest) has(name string) bool { return a.value(name) != "" }

// value is that of the one line of a header; "" where there is none.
func (a *AuthRequest) value(name string) string {
	if lines := a.Header[name]; len(lines) > 0 {
		return request.TrimOWS(lines[0])
	}
	return ""
}

// facts are what is said of the request that is held, by everybody who says something.
type facts struct{ method, scheme, host, target fact }

// A fact is what is said of one thing.
type fact struct {
	named string // the headers that say it, for who has to add one
	by    []string
	said  []string
	fold  bool // it has no case
}

// add notes what a header says, if anything.
func (f *fact) add(by, said string) {
	if said != "" {
		f.by, f.said = append(f.by, by), append(f.said, said)
	}
}

// agreed is what all say.
func (f *fact) agreed() (string, error) {
	if len(f.said) == 0 {
		return "", &Error{f.named + " is missing"}
	}
	for i, other := range f.said[1:] {
		if other != f.said[0] && !(f.fold && field.Same(other, f.said[0])) {
			return "", contradiction(f.by[0], f.by[i+1])
		}
	}
	return f.said[0], nil
}

func contradiction(one, other string) error {
	return &Error{one + " and " + other + " contradict each other"}
}

// facts gathers what is said.
func (a *AuthRequest) facts(d Dialect) *facts {
	f := &facts{
		method: fact{named: forwardedMethod + " or " + originalMethod}, target: fact{named: forwardedTarget + ", " + originalTarget + " or " + originalURL},
		scheme: fact{named: forwardedScheme, fold: true}, host: fact{named: forwardedHost, fold: true},
	}
	if d == Prefixed {
		f.method.add("the method", a.Method)
		f.target.add("the path behind "+Path, strings.TrimPrefix(a.Target, Path))
	}
	for _, name := range []string{forwardedMethod, originalMethod} {
		f.method.add(name, a.value(name))
	}
	f.scheme.add(forwardedScheme, a.value(forwardedScheme))
	for _, name := range []string{forwardedHost, originalHost} {
		f.host.add(name, a.value(name))
	}
	for _, name := range []string{forwardedTarget, originalTarget, originalURL} {
		scheme, host, target := split(a.value(name))
		f.scheme.add(name, scheme)
		f.host.add(name, host)
		f.target.add(name, target)
	}
	if d == Prefixed || d == Original && !a.isURL() || len(f.host.said) == 0 || a.Serves(hostOf(a.Host)) {
		f.host.add("Host", a.Host)
	}
	return f
}

// isURL reports whether the target is said with its host: who says so need not set Host.
func (a *AuthRequest) isURL() bool { return strings.Contains(a.value(originalURL), "://") }

// hostOf is an authority without its port and final dot.
func hostOf(authority string) string {
	authority, _ = request.TrimFinalDot(authority)
	host, _, err := request.ParseAuthority(authority)
	if err != nil {
		return ""
	}
	return string(host)
}

// split splits what is a target or a URL; scheme and host are "" of a target.
func split(s string) (scheme, host, target string) {
	at := strings.Index(s, "://")
	if at <= 0 || !isScheme(s[:at]) {
		return "", "", s
	}
	scheme, rest := strings.ToLower(s[:at]), s[at+len("://"):]
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return scheme, rest, "/"
	}
	if rest[end] != '/' {
		return scheme, rest[:end], "/" + rest[end:]
	}
	return scheme, rest[:end], rest[end:]
}

// isScheme reports whether s is letters alone, as those of HTTP are.
func isScheme(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool { return (c|0x20) < 'a' || 'z' < c|0x20 })
}
