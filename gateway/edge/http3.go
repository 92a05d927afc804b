package edge

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/viloforge/vilogate/gateway/internal/http3"
)

// altSvcAge is how long a client may remember that there is HTTP/3, in seconds.
const altSvcAge = 24 * 60 * 60

// altSvc is the field by which clients of the other protocols are told of HTTP/3 (RFC 7838) on a port of UDP.
func altSvc(port int) []string {
	return []string{`h3=":` + strconv.Itoa(port) + `"; ma=` + strconv.Itoa(altSvcAge)}
}

// newHTTP3 makes the server of HTTP/3, with what config says to each handshake of the other protocols: certificates, ticket keys,
// and what hosts ask of their connections.
func newHTTP3(handler http.Handler, config *tls.Config, limits http3.Limits, log *slog.Logger) *http3.Server {
	return http3.New(http3.Options{Handler: handler, Limits: limits, Log: log, TLS: &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if config.GetConfigForClient != nil {
				if own, err := config.GetConfigForClient(hello); own != nil || err != nil {
					return own, err
				}
			}
			return config, nil
		},
	}})
}
