package gateway

import (
	"cmp"
	"context"

	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
	http2client "github.com/viloforge/vilogate/gateway/internal/http2/client"
)

// endpoint is how an address of an upstream is asked: what a balancer.Member has.
type endpoint struct {
	key  client.Key // over which connections
	host string     // the Host header of health checks
	path string     // what their path is put behind

	http2 bool   // HTTP/2 is spoken there
	local []byte // what a connection of the gateway's own begins with (a PROXY header)
}

// endpointOf is where an attempt goes.
func endpointOf(a balancer.Attempt) *endpoint { return a.To().(*endpoint) }

// userAgent is how health checks introduce themselves.
const userAgent = "vilogate-health-check"

// probeHealth sends a health check; it is a balancer.Probe. It goes the way that requests go, on a connection of its own. Redirects are
// not followed.
func probeHealth(ctx context.Context, c balancer.Check, to any) (status int, err error) {
	at := to.(*endpoint)
	if at.http2 {
		return at.probeHealthHTTP2(ctx, c)
	}
	head, err := http1.AppendRequestLine(nil, "GET", at.path+c.Path, cmp.Or(c.Host, at.host))
	if err != nil {
		return 0, err
	}
	head = append(head, "User-Agent: "+userAgent+"\r\nConnection: close\r\n\r\n"...)
	x, err := client.NewPool(0, 0).Send(ctx, at.key, c.Timeout, &client.Request{Head: head, HeaderTimeout: c.Timeout, Preface: at.local})
	if err != nil {
		return 0, err
	}
	defer x.Close()
	return x.Head.Status, nil
}

// probeHealthHTTP2 sends a health check over HTTP/2.
func (e *endpoint) probeHealthHTTP2(ctx context.Context, c balancer.Check) (status int, err error) {
	x, err := http2client.NewPool().Send(ctx, e.key, c.Timeout, &http2client.Request{
		Method: "GET", Authority: cmp.Or(c.Host, e.host), Path: e.path + c.Path,
		Fields: field.List{{Name: "user-agent", Value: userAgent}}, HeaderTimeout: c.Timeout,
	})
	if err != nil {
		return 0, err
	}
	defer x.Close()
	return x.Head.Status, nil
}
