package client

import (
	"context"
	"net"
	"time"
)

// addressSeparator stands between several addresses of one host in a Key.
const addressSeparator = ","

// fallbackDelay is how long an address may take before the next one is tried beside it (RFC 8305, section 5).
const fallbackDelay = 300 * time.Millisecond

// dialAny connects to one of the addresses of a host: the first, or others after it where it refuses or takes long (Happy Eyeballs).
// The error is that of the first one, a net.OpError whose Op is "dial".
func dialAny(ctx context.Context, dialer *net.Dialer, addresses []string) (net.Conn, error) {
	if len(addresses) == 1 {
		return dialer.DialContext(ctx, "tcp", addresses[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type dialled struct {
		conn net.Conn
		err  error
	}
	results, begun, ended := make(chan dialled, len(addresses)), 0, 0
	next := func() {
		if begun == len(addresses) {
			return
		}
		address := addresses[begun]
		begun++
		go func() {
			conn, err := dialer.DialContext(ctx, "tcp", address)
			results <- dialled{conn, err}
		}()
	}
	next()
	timer := time.NewTimer(fallbackDelay)
	defer timer.Stop()
	var first error
	for {
		select {
		case r := <-results:
			ended++
			if r.err == nil {
				go func() { // those that are too late
					for range begun - ended {
						if late := <-results; late.conn != nil {
							_ = late.conn.Close() // nothing was sent
						}
					}
				}()
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
			if next(); ended == begun {
				return nil, first
			}
		case <-timer.C:
			next()
		}
	}
}
