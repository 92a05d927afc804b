package gateway

import (
	"crypto/rand"
	"encoding/base64"
	"hash/fnv"

	"github.com/viloforge/vilogate/policies/request"
)

// affinityCookie is how requests of one browser are known, on one host. Its value is random and says nothing else.
const affinityCookie = "__Host-vilogate-affinity"

// affinityValue is how long its value is: 128 bits in base64url.
const affinityValue = 22

// affinityKey is what requests have in common that go to the same address; 0 where they may go to any. A browser without the cookie
// gets one with the answer.
func (x *forwarding) affinityKey() uint64 {
	switch {
	case x.upstream == nil || x.upstream.Affinity == NoAffinity:
		return 0
	case x.upstream.Affinity == AffinityCookie:
		return hashAffinity(x.affinityCookie)
	}
	who := x.admissionClient()
	if who.Subject != "" {
		return hashAffinity(who.Issuer, who.Subject)
	}
	return hashAffinity(who.Network.String())
}

// takeAffinityCookie takes the cookie off the request, and makes one where there is none.
func (x *forwarding) takeAffinityCookie() {
	for value := range request.CookieValues(x.r.Header, affinityCookie) {
		if isAffinityValue(value) {
			x.affinityCookie = value
			break
		}
	}
	stripCookies(x.r.Header, []Cookie{{Name: affinityCookie}}, cookiePair{})
	if x.affinityCookie != "" || x.forwardAuth != nil { // which another proxy forwards
		return
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // which never fails
	x.affinityCookie = base64.RawURLEncoding.EncodeToString(random[:])
	// It goes along wherever the backend's own cookie may, and so says nothing of other sites.
	x.reply.setCookies = append(x.reply.setCookies, affinityCookie+"="+x.affinityCookie+"; Path=/; Secure; HttpOnly; SameSite=None")
}

// isAffinityValue reports whether a value is one that the gateway could have made.
func isAffinityValue(value string) bool {
	if len(value) != affinityValue {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(value)
	return err == nil
}

// hashAffinity is never 0.
func hashAffinity(of ...string) uint64 {
	h := fnv.New64a()
	for _, s := range of {
		_, _ = h.Write([]byte(s))
		_, _ = h.Write([]byte{0})
	}
	return max(h.Sum64(), 1)
}
