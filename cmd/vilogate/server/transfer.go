package server

import (
	"sync"

	"github.com/viloforge/vilogate/cmd/vilogate/handover"
)

// transfer is how far this process has handed over to another, and another to this one.
type transfer struct {
	running   sync.Mutex    // held during a handover
	done      chan struct{} // closed when another process is in charge
	http3Free chan struct{} // closed when the process before this one reads from the sockets for HTTP/3 no longer; nil without one
}

func newTransfer(in *handover.Inherited) *transfer {
	t := &transfer{done: make(chan struct{})}
	if in.TakesOver() {
		t.http3Free = make(chan struct{})
	}
	return t
}

// handedOver reports whether another process is in charge.
func (t *transfer) handedOver() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}
