package idp

import "net/http"

// providerMetadata is the provider metadata (OpenID Connect Discovery): what it has, and nothing that is only planned.
type providerMetadata struct {
	Issuer  string `json:"issuer"`
	JWKSURI string `json:"jwks_uri"`
}

// serveMetadata answers with where things are.
func (x *exchange) serveMetadata() error {
	x.allowPublicCaching()
	x.json(http.StatusOK, providerMetadata{Issuer: x.idp.origin, JWKSURI: x.idp.origin + "/.well-known/jwks.json"})
	return nil
}

// serveJWKS answers with the keys that verify access tokens.
func (x *exchange) serveJWKS() error {
	x.allowPublicCaching()
	x.w.Header().Set("Content-Type", "application/jwk-set+json")
	x.send(http.StatusOK, x.idp.issuer.keys.set)
	return nil
}

// allowPublicCaching lets anybody read and cache the response.
func (x *exchange) allowPublicCaching() {
	h := x.w.Header()
	h.Set("Cache-Control", "public, max-age=60")
	h.Set("Access-Control-Allow-Origin", "*")
}
