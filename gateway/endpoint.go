package gateway

import (
	"cmp"
	"context"

	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// endpoint is how an address of an upstream is asked: what a balancer.Member has.
type endpoint struct {
	key  client.Key // over which connections
	host string     // the Host header of health checks
	path string     // what their path is put behind
}

// endpointOf is where an attempt goes.
func endpointOf(a balancer.Attempt) *endpoint { return a.To().(*endpoint) }

// userAgent is how health checks introduce themselves.
const userAgent = "vilogate-health-check"

// askHealth sends a health check; it is a balancer.Ask. It goes the way that requests go, on a connection of its own. Redirects are
// not followed.
func askHealth(ctx context.Context, c balancer.Check, to any) (status int, err error) {
	at := to.(*endpoint)
	head, err := http1.AppendRequestLine(nil, "GET", at.path+c.Path, cmp.Or(c.Host, at.host))
	if err != nil {
		return 0, err
	}
	head = append(head, "User-Agent: "+userAgent+"\r\nConnection: close\r\n\r\n"...)
	x, err := client.NewPool(0, 0).Send(ctx, at.key, c.Timeout, &client.Request{Head: head, HeaderTimeout: c.Timeout})
	if err != nil {
		return 0, err
	}
	defer x.Close()
	return x.Head.Status, nil
}
