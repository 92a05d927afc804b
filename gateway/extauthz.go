package gateway

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/viloforge/vilogate/gateway/internal/extauthz"
	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/forwardauth"
)

// checkPath is the method of gRPC by which Envoy asks.
const checkPath = "/envoy.service.auth.v3.Authorization/Check"

// maxCheck is how long a message of Envoy's is at most, in bytes: a header, with room for what else it says.
const maxCheck = 256 << 10

// messagePrefix is how long the prefix of a message of gRPC is: whether it is compressed, and its length.
const messagePrefix = 5

// isCheck reports whether a request is a call of gRPC.
func isCheck(r *http.Request) bool {
	return r.ProtoMajor == 2 && r.Method == http.MethodPost && isGRPCType(r.Header.Get("Content-Type"))
}

// checkError is why a call is answered by a status of gRPC alone: Envoy takes that for a failure, and refuses the request then, unless it
// has failure_mode_allow.
type checkError struct {
	code    grpcCode
	message string
}

func (e *checkError) Error() string { return "gateway: forward auth: " + e.message }

// readCheck reads the message of a call.
func readCheck(r *http.Request) (extauthz.Request, error) {
	if r.RequestURI != checkPath {
		return extauthz.Request{}, &checkError{grpcUnimplemented, "no such method"}
	}
	var prefix [messagePrefix]byte
	if _, err := io.ReadFull(r.Body, prefix[:]); err != nil {
		return extauthz.Request{}, &checkError{grpcInternal, "no message"}
	}
	length := binary.BigEndian.Uint32(prefix[1:])
	switch {
	case prefix[0] != 0:
		return extauthz.Request{}, &checkError{grpcUnimplemented, "a message that is compressed"}
	case length > maxCheck:
		return extauthz.Request{}, &checkError{grpcResourceExhausted, "a message beyond " + strconv.Itoa(maxCheck) + " bytes"}
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(r.Body, message); err != nil {
		return extauthz.Request{}, &checkError{grpcInternal, "a message that was cut off"}
	}
	return extauthz.ParseRequest(message)
}

// extAuthzRequest is the request that Envoy asks about (ext_authz), as if it had come by itself. The error is an *forwardauth.Error.
func extAuthzRequest(asking *http.Request, c extauthz.Request) (*http.Request, error) {
	header := make(http.Header, len(c.Fields))
	for _, f := range c.Fields {
		header.Add(f.Name, f.Value)
	}
	schemes := append([]string{}, header["X-Forwarded-Proto"]...)
	if c.Scheme != "" {
		schemes = append(schemes, c.Scheme)
	}
	for _, scheme := range schemes {
		if !forwardauth.IsSecure(scheme) {
			return nil, &forwardauth.Error{Reason: "X-Forwarded-Proto or :scheme is not https: only what came over TLS is decided on"}
		}
	}
	switch {
	case len(schemes) == 0:
		return nil, &forwardauth.Error{Reason: "X-Forwarded-Proto is missing"}
	case c.Method == "" || c.Host == "" || c.Path == "":
		return nil, &forwardauth.Error{Reason: ":method, :authority or :path is missing"}
	}
	if c.Source != "" {
		header.Add("X-Forwarded-For", c.Source)
	}
	r := originalRequest(asking, forwardauth.Request{Method: c.Method, Authority: c.Host, Target: c.Path}, header)
	r.ContentLength = 0
	if lines := header["Content-Length"]; len(lines) == 1 {
		r.ContentLength, _ = field.ParseLength(lines[0]) // what is no length is refused as such
	}
	return r, nil
}

// check answers Envoy over gRPC.
func (g *Gateway) check(w http.ResponseWriter, r *http.Request) {
	c, err := readCheck(r)
	var failed *checkError
	if errors.As(err, &failed) {
		g.opts.Log.Warn("a call for forward auth failed", "client", r.RemoteAddr, "error", failed)
		h := w.Header()
		h["Content-Type"] = []string{"application/grpc"}
		h["Grpc-Status"] = []string{failed.code.String()}
		h["Grpc-Message"] = []string{percentEncode(failed.message)}
		w.WriteHeader(http.StatusOK)
		return
	}
	var about *http.Request
	if err == nil {
		about, err = extAuthzRequest(r, c)
	}
	if err == nil {
		if proxies := g.proxies(); proxies != nil && !hasClientAddress(proxies, about.Header) {
			err = &forwardauth.Error{Reason: "X-Forwarded-For is missing"}
		}
	}
	if err != nil {
		g.refuseAuthRequest(w, r, forwardauth.Envoy, refuseAuthRequest(err.Error()))
		return
	}
	answer, h := &authReply{header: http.Header{}}, &forwardAuth{dialect: forwardauth.Envoy}
	g.serveRequest(answer, about, h)
	answer.writeTo(w, h)
}
