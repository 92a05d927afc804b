package gateway

import (
	"net/url"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// loginURL is the login page's, from where the browser comes back; "" where there is no login. Our own is told where the
// address to return to is too long to be kept.
func (x *exchange) loginURL() string {
	to := x.returnURL()
	if len(to) <= request.MaxReturnURL || x.gen.Login.URL != "" {
		return x.gen.loginURL(to)
	}
	if login := x.gen.loginURL(originOf(to) + "/"); login != "" {
		return login + "&" + request.ReturnURLTooLong + "=1"
	}
	return ""
}

// originOf is the origin of an address that begins with https:// and a host.
func originOf(address string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(address, "https://"), "/")
	return "https://" + host
}

// returnURL is where the login redirects back to: the requested URL of a
// navigation, or the page of the post that was kept; else the page that sent the request, or that has the frame.
func (x *exchange) returnURL() string {
	if x.kept.id != "" {
		return x.located.keptURL(x.kept.id)
	}
	if x.isNavigation() || x.located.Endpoint == policies.Kept {
		return x.located.url()
	}
	home := x.gen.origin(string(x.located.Name)) + "/"
	if x.isFrameNavigation() {
		if referer := x.referer(); referer != "" {
			return referer
		}
		return x.located.url()
	}
	if x.reply.cors.origin != "" {
		home = x.reply.cors.origin + "/" // the page that asks
	}
	if referer := x.r.Header["Referer"]; len(referer) == 1 && strings.HasPrefix(referer[0], home) {
		return referer[0]
	}
	return home
}

// referer is the page from which the request came, where that is one of a host with policies; "" otherwise.
func (x *exchange) referer() string {
	lines := x.r.Header["Referer"]
	if len(lines) != 1 {
		return ""
	}
	u, err := url.Parse(lines[0])
	if err != nil || u.User != nil || u.Hostname() == x.gen.Login.Host || !x.gen.Serves(u.Hostname()) || !strings.HasPrefix(lines[0], x.gen.origin(u.Hostname())+"/") {
		return ""
	}
	return lines[0]
}

// backURL is where somebody goes on who may not see this page: the page before, else the host's first; "" where this is it.
func (x *exchange) backURL() string {
	here, home := x.located.url(), x.gen.origin(string(x.located.Name))+"/"
	if referer := x.referer(); referer != "" && referer != here {
		return referer
	}
	if here != home {
		return home
	}
	return ""
}
