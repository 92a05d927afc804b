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
func (x *received) MayTryAnother() bool {
	return x.g.opts.Limits.Peek(x.addressKey(x.g.keyTries), keyTriesRate()).OK
}

// KeysFailed implements [token.Sender].
func (x *received) KeysFailed(keys int) {
	key := x.addressKey(x.g.keyTries)
	for range keys {
		x.g.opts.Limits.Take(key, keyTriesRate())
	}
}

// verify is token.Verifier.Verify, at the client's expense.
func (x *received) verify(raw string) (*token.Claims, error) {
	return x.gen.Verifier.VerifyFrom(x, raw, x.start)
}

// verifyOf is token.Verifier.VerifyOf likewise.
func (x *received) verifyOf(issuer, raw string) (*token.Claims, error) {
	return x.gen.Verifier.VerifyOf(issuer, x, raw, x.start)
}
