package server

import (
	"io"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// SwitchProtocols answers a request with 101 (RFC 9110, section 7.8) and this header, and gives the connection out, which is the
// handler's to close. What a client sends before is nothing of the new protocol, and dropped. The error says that the connection
// cannot be taken over. Of a client that has gone, the connection's reads and writes say so.
func (w *response) SwitchProtocols(header field.List) (io.ReadWriteCloser, error) {
	head, err := http1.AppendFields([]byte("HTTP/1.1 101 Switching Protocols\r\n"), header)
	if err != nil {
		return nil, err
	}
	conn, _, err := w.Hijack()
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(head); err != nil {
		_ = conn.Close() // then reading fails too
	}
	return conn, nil
}
