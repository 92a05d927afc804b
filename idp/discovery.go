package idp

import "net/http"

// discovered is what programs may know of the identity provider: what it has, and nothing that is only planned.
type discovered struct {
	Issuer string `json:"issuer"`
	Keys   string `json:"jwks_uri"`
}

// configuration answers with where things are.
func (x *visit) configuration() error {
	x.public()
	x.json(http.StatusOK, "application/json", discovered{Issuer: x.idp.origin, Keys: x.idp.origin + "/.well-known/jwks.json"})
	return nil
}

// keys answers with the keys that verify access tokens.
func (x *visit) keys() error {
	x.public()
	x.w.Header().Set("Content-Type", "application/jwk-set+json")
	x.send(http.StatusOK, x.idp.issuer.keys.set)
	return nil
}

// public lets anybody read and keep the answer.
func (x *visit) public() {
	h := x.w.Header()
	h.Set("Cache-Control", "public, max-age=60")
	h.Set("Access-Control-Allow-Origin", "*")
}
