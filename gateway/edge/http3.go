package edge

import (
	"crypto/tls"
	"net/http"
	"strconv"

	"github.com/viloforge/vilogate/gateway/internal/http3"
)

// altSvcAge is how long a client may remember that there is HTTP/3, in seconds.
const altSvcAge = 24 * 60 * 60

// newHTTP3 makes the server of HTTP/3, which serves what the others do, with their certificates, ticket keys and what hosts ask of
// their connections.
func (s *Server) newHTTP3(handler http.Handler) *http3.Server {
	s.altSvc = []string{`h3=":` + strconv.Itoa(s.opts.HTTP3Port) + `"; ma=` + strconv.Itoa(altSvcAge)}
	return http3.New(http3.Options{
		Handler: handler, Log: s.opts.Log,
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS13,
			GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if s.tlsConfig.GetConfigForClient != nil {
					if config, err := s.tlsConfig.GetConfigForClient(hello); config != nil || err != nil {
						return config, err
					}
				}
				return s.tlsConfig, nil
			},
		},
		Limits: http3.Limits{
			HeaderBytes: s.opts.Limits.HeaderBytes, HeaderTime: s.opts.Limits.HeaderTime, IdleTime: s.opts.Limits.IdleTime,
			Streams: s.opts.Limits.Streams, Connections: maxConnections(),
			BodyMinRate: s.opts.Limits.BodyMinRate, BodyTimeout: uploadPatience, WriteTimeout: writePatience,
		},
	})
}
