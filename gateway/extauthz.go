package gateway

import (
	"net/http"
	"strings"
)

// isCheck reports whether a request is Envoy's call of gRPC.
func isCheck(r *http.Request) bool {
	return r.ProtoMajor == 2 && r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

func (g *Gateway) check(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotImplemented) }
