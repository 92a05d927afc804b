package server

import "net/http"

// adminHandler serves what is to be read only. keys is the set that backends verify assertions with; nil in an IdP alone.
// What says more than that the process lives is for those who ask by an address or a name of the machine (see [adminGuard]);
// hosts are the further names (admin_hosts).
func adminHandler(ready *readiness, metrics http.Handler, keys func() []byte, status func() Status, hosts func() []string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if _, err := w.Write([]byte("ok\n")); err != nil {
			return // the client has disconnected
		}
	})
	mux.HandleFunc("GET /readyz", ready.serve)
	guard := adminGuard{hosts}
	mux.Handle("GET /metrics", guard.protect(metrics))
	mux.Handle("GET /status", guard.protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, status()) })))
	if keys != nil {
		mux.HandleFunc("GET /.well-known/vilogate/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwk-set+json")
			w.Header().Set("Cache-Control", "public, max-age=60")
			if _, err := w.Write(keys()); err != nil {
				return // the client has disconnected
			}
		})
	}
	return mux
}
