package edge

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// redirect answers plain HTTP: 308 (Permanent Redirect) to the same address over TLS for the hosts
// that are served, which is without a final dot of the host's name. What cannot be redirected is refused: 400, and 404 for other
// hosts. It reads no body.
func redirect(served func(host string) bool, port int, refuse func(w http.ResponseWriter, r *http.Request, status int, reason string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		authority, _ := request.TrimFinalDot(r.Host)
		target, err := request.Canonicalise(r.Method, authority, r.RequestURI)
		if err != nil {
			refuse(w, r, http.StatusBadRequest, err.Error())
			return
		}
		if !served(string(target.Host)) {
			refuse(w, r, http.StatusNotFound, "plain HTTP for a host that is not served")
			return
		}
		var location strings.Builder
		location.WriteString("https://" + publicAuthority(string(target.Host), port) + target.Path.String())
		if target.HasQuery {
			location.WriteString("?" + target.Query)
		}
		w.Header()["Location"] = []string{location.String()}
		w.WriteHeader(http.StatusPermanentRedirect)
	})
}

// publicAuthority is host with the port that people see.
func publicAuthority(host string, port int) string {
	if port == 443 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
