package gateway

import (
	"time"

	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// keyTriesRate is how many keys a network may have tried in vain, beyond the first
// of each token: who sends tokens that do not say which key signed them pays for
// that. A good token costs nothing, and is remembered.
func keyTriesRate() limits.Rate { return limits.Rate{Events: 300, Per: time.Minute} }

// addressKey is the key of the client's network (request.ClientNetwork).
func (x *received) addressKey(scope limits.Scope) limits.Key {
	var buffer [32]byte
	network := request.ClientNetwork(x.client).AppendTo(buffer[:0])
	return x.g.opts.Limits.Key(scope, "", string(network))
}

// MayTryAnother implements [token.Sender].
func (x *authentication) MayTryAnother() bool {
	if !x.g.opts.Limits.Peek(x.addressKey(x.g.keyTries), keyTriesRate()).OK {
		return false
	}
	x.tries++
	return true
}

// verify is token.Verifier.Verify, at the client's expense.
func (x *authentication) verify(raw string) (*token.Claims, error) {
	claims, err := x.gen.Verifier.VerifyFrom(x, raw, x.start)
	x.payTries(err)
	return claims, err
}

// verifySignature is token.Verifier.VerifySignature likewise.
func (x *authentication) verifySignature(raw string) (*token.Claims, error) {
	claims, err := x.gen.Verifier.VerifySignatureFrom(x, raw)
	x.payTries(err)
	return claims, err
}

// payTries counts the keys that were tried in vain.
func (x *authentication) payTries(err error) {
	if err != nil && x.tries > 0 {
		key := x.addressKey(x.g.keyTries)
		for range x.tries {
			x.g.opts.Limits.Take(key, keyTriesRate())
		}
	}
	x.tries = 0
}
