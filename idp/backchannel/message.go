package backchannel

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Path is where an identity provider answers, on its own listener only.
const Path = "/.vilogate/renew"

// MaxSkew is by how much the clocks of the two may differ.
const MaxSkew = 30 * time.Second

const (
	minSecret   = 32
	maxRequest  = 16 << 10 // bytes: a token of 3.5 KiB, and little else
	maxResponse = 64 << 10 // two tokens at most

	headerTime = "Vilogate-Time" // seconds since 1970
	headerMAC  = "Vilogate-MAC"  // base64url, without padding
)

// The actions.
const (
	actionCheck     = "check"
	actionRotate    = "rotate"
	actionDelivered = "delivered"
	actionActive    = "active"
)

// request is what is asked. Times are seconds since 1970.
type request struct {
	Action    string     `json:"action"`
	Token     string     `json:"token,omitempty"`
	Session   string     `json:"session,omitempty"`
	Issued    int64      `json:"issued,omitempty"`
	Client    netip.Addr `json:"client,omitzero"`
	RequestID string     `json:"request_id,omitempty"`
}

// The outcomes of a request that was answered.
const (
	outcomeOK      = "ok"
	outcomeRefused = "refused"
	outcomeReturn  = "return"
)

type response struct {
	Outcome string `json:"outcome"`
	Claims  string `json:"claims,omitempty"`
	Token   string `json:"token,omitempty"`
	Seen    int64  `json:"seen,omitempty"`
	Ends    int64  `json:"ends,omitempty"` // of the session
	Active  bool   `json:"active,omitempty"`
}

var (
	errSecret = errors.New("backchannel: the secret has fewer than 32 bytes")
	errMAC    = errors.New("backchannel: the MAC does not match: gateway and identity provider have different secrets")
)

// errSkew says that the clocks of gateway and identity provider differ.
type errSkew struct{ by time.Duration }

func (e *errSkew) Error() string {
	return fmt.Sprintf("backchannel: the clocks of gateway and identity provider differ by %v, more than %v: have both synchronised (NTP)",
		e.by.Round(time.Second), MaxSkew)
}

// signer makes and checks the MACs.
type signer struct{ key []byte }

func newSigner(secret []byte) (signer, error) {
	if len(secret) < minSecret {
		return signer{}, errSecret
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "vilogate back channel v1", sha256.Size)
	return signer{key}, err
}

// request is the MAC of a request.
func (s signer) request(at string, body []byte) string {
	return s.mac("request", http.MethodPost, Path, at, body)
}

// response is the MAC of the response to a request of that MAC.
func (s signer) response(to string, status int, body []byte) string {
	return s.mac("response", to, strconv.Itoa(status), "", body)
}

// mac covers each part apart: none holds a line feed, and the body comes by its digest.
func (s signer) mac(kind, first, second, third string, body []byte) string {
	digest := sha256.Sum256(body)
	m := hmac.New(sha256.New, s.key)
	fmt.Fprintf(m, "%s\n%s\n%s\n%s\n%x", kind, first, second, third, digest)
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func equalMAC(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// header returns the one value of a header, "" where there is none or several.
func header(h http.Header, name string) string {
	if lines := h[http.CanonicalHeaderKey(name)]; len(lines) == 1 {
		return lines[0]
	}
	return ""
}
