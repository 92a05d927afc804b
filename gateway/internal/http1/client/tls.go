package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// handshake begins TLS on a socket, and verifies who is there; it closes the socket where that fails. The error is a net.OpError
// whose Op is "dial".
func handshake(ctx context.Context, s *socket, config *tls.Config) (*tls.Conn, error) {
	secured := tls.Client(s, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = s.Close()
		if ctx.Err() == nil { // which says of itself whether it was a timeout
			err = fmt.Errorf("TLS handshake: %w", err)
		}
		return nil, &net.OpError{Op: "dial", Net: s.RemoteAddr().Network(), Addr: s.RemoteAddr(), Err: err}
	}
	return secured, nil
}

// connect connects to the address of key, sends the preface, and begins TLS where the key says so; secured is nil where it does not.
func connect(ctx context.Context, key Key, preface []byte) (s *socket, secured *tls.Conn, err error) {
	if s, err = dialSocket(ctx, key); err != nil {
		return nil, nil, err
	}
	if err := s.begin(ctx, preface); err != nil {
		return nil, nil, err
	}
	if key.TLS == nil {
		return s, nil, nil
	}
	secured, err = handshake(ctx, s, key.TLS)
	return s, secured, err
}
