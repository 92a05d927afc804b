package client

import (
	"crypto/tls"
	"time"
)

// Key is what connections are kept apart by.
type Key struct {
	Address      string        // host:port, several of one host with commas between them, or unix:/path
	TLS          *tls.Config   // nil for none; it names the server that is to be there
	IdleTimeout  time.Duration // how long a connection is kept while it is idle; 0 for any time, negative for not at all
	TCPKeepAlive time.Duration // the interval of TCP's own probes (RFC 9293, section 3.8.4) once it is idle; 0 for 15 s, negative for none
}
