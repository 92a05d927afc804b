package gateway

import (
	"encoding/binary"
	"net/http"

	"github.com/viloforge/vilogate/gateway/internal/extauthz"
	"github.com/viloforge/vilogate/gateway/internal/field"
)

// writeCheck writes an answer as the message of a call.
func (a *authReply) writeCheck(w http.ResponseWriter, h *forwardAuth) {
	var fields field.List
	for name, lines := range a.header {
		for _, line := range lines {
			fields.Add(name, line)
		}
	}
	var message []byte
	if h.allowed != nil && a.status == http.StatusOK {
		fields.DelFunc(func(name string) bool { return field.Same(name, "Cache-Control") }) // is of this answer
		if fields.Has("Set-Cookie") {
			fields.Add("Cache-Control", "private")
		}
		message = extauthz.Allow(h.allowed.set, h.allowed.remove, fields)
	} else {
		fields.Del("Content-Length")
		message = extauthz.Deny(a.refusedStatus(h), fields, a.body.Bytes())
	}
	out := w.Header()
	clear(out)
	out["Content-Type"] = []string{"application/grpc"}
	out[http.TrailerPrefix+"Grpc-Status"] = []string{"0"}
	w.WriteHeader(http.StatusOK)
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	_, _ = w.Write(append(framed, message...)) // the proxy is gone, which the server finds out by itself
}
