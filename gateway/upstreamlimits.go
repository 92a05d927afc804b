package gateway

import (
	"time"

	"github.com/viloforge/vilogate/gateway/internal/admission"
)

// Admission says what may be under way at all upstreams together. Its zero value: any number of everything.
type Admission struct {
	// Requests is how many requests may be under way at upstreams, those that wait included, and PerClient how many of one client:
	// somebody who is signed in, else a client network. WebSockets and other streams are such requests as long as they are open.
	Requests, PerClient int
	// LoginRequests is how many more may be at an identity provider in another process, so that people can sign in whatever else is
	// under way.
	LoginRequests int
	// IdleConnections is how many connections to upstreams are kept at most.
	IdleConnections int
}

// Limits bound what an upstream is asked for at a time. Its zero value: nothing is.
type Limits struct {
	// Concurrency is how many requests may be under way at it, at all of its addresses. Optional: any number.
	Concurrency int
	// Connections is how many connections to one address may be open. Optional: any number.
	Connections int
	// Queue has more requests wait.
	Queue Queue
	// Breaker has it not be asked for a while when it fails. Optional: it always is.
	Breaker Breaker
}

// Breaker says after how many failures in a row an upstream is not asked, and for how long. A failure is a request without an answer
// (no connection, none in time, closed before one began), or with 502, 503 or 504. Its zero value: never.
type Breaker struct {
	Failures int
	Open     time.Duration
}

// Queue is the requests that wait until an upstream can take them, and are refused after the timeout. Its zero value: none wait.
type Queue struct {
	Length  int
	Timeout time.Duration
}

// loginQueue is who waits for an identity provider in another process.
var loginQueue = Queue{Length: 100, Timeout: 3 * time.Second}

// admits are the limits of the gate of an upstream with so many addresses.
func (l Limits) admits(addresses int) admission.Limits {
	most := l.Concurrency
	if all := l.Connections * addresses; all > 0 && (most == 0 || all < most) {
		most = all
	}
	return admission.Limits{Requests: most, Queue: l.Queue.Length, Timeout: l.Queue.Timeout, Breaker: admission.Breaker(l.Breaker)}
}
