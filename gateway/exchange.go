package gateway

import "github.com/viloforge/vilogate/policies"

// exchange is one request on its way, in stages. Each stage is made whole by one
// step, is read-only afterwards, and knows the stages before it and none that
// come later; what all may write to are the record and the reply. It is owned by
// the goroutine that serves the request.
type exchange struct {
	received              // receive: what arrived
	located    located    // locate: where it leads
	decided    decided    // decide: who asks, and what becomes of it
	forwarding forwarding // prepare: what the upstream is sent

	request       policies.Request // what the decision is made of
	authenticated bool             // decided.authentication and authErr are set
	authErr       error
}
