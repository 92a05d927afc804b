//go:build ignore

// Command plain is what the standard library makes of a TLS-terminating proxy, for the comparison in bench.py: no
// authentication, no policy, no access log.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	backend, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.DisableCompression = 512, true
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(backend); r.SetXForwarded() },
		Transport: transport,
	}
	log.Fatal(http.ListenAndServeTLS(os.Args[1], os.Args[3], os.Args[4], proxy))
}
