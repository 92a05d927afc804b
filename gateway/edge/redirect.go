package edge

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// redirect answers plain HTTP: 308 (Permanent Redirect) to the same address over TLS for the hosts
// that are served, which is without a final dot of the host's name, and 404 for others.
// It reads no body.
func redirect(served func(host string) bool, port int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		authority, _ := request.TrimFinalDot(r.Host)
		target, err := request.Canonicalise(r.Method, authority, r.RequestURI)
		if err != nil {
			http.Error(w, "Bad request", http.StatusBadRequest)
			return
		}
		if !served(string(target.Host)) {
			http.Error(w, "No such site is served here", http.StatusNotFound)
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
