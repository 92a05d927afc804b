package client

import (
	"context"
	"errors"
	"time"
)

// Send sends a request to the address of key, on a kept connection or on a new one, which may take so long to come about, and
// returns when the answer's head was read. What it returns is to be closed. The error is a net.OpError whose Op is "dial" where
// there was no connection, or in TLS nobody who is trusted, a [ClosedError], the context's, what the body's reading came to, or says what is wrong with the answer.
func (p *Pool) Send(ctx context.Context, key Key, dialTimeout time.Duration, r *Request) (*Exchange, error) {
	for !r.Fresh {
		c := p.get(key)
		if c == nil {
			break
		}
		x, err := exchange(ctx, p, key, c, r)
		if !errors.Is(err, errStale) {
			return x, err
		}
	}
	c, err := dial(ctx, key, dialTimeout, r.Preface)
	if err != nil {
		return nil, err
	}
	return exchange(ctx, p, key, c, r)
}
