package gateway

import (
	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/forwardauth"
)

// forwardAuth is what is known of a request that another proxy holds and asks about (forward auth): it goes all the way of other requests, and
// where they are forwarded, what they would be sent with is told to the proxy.
type forwardAuth struct {
	dialect forwardauth.Dialect
	sent    []string // the names of its fields, as they were sent
	allowed *allowed // what the proxy is to change of the request; nil where it is refused
}

// allowed is what a proxy is to change of a request before it forwards it.
type allowed struct {
	set    field.List // fields in place of any of their names
	remove []string   // names, of which no field may be left
}

// name is how records call the dialect; "" for none.
func (h *forwardAuth) name() string {
	if h == nil {
		return ""
	}
	return h.dialect.String()
}

// canRemove reports whether the proxy is told to remove fields. Others overwrite what they are given, and no more.
func (h *forwardAuth) canRemove() bool { return h.dialect == forwardauth.Envoy }

// answersAny reports whether the proxy passes on an answer of any status but 200, so that what the gateway answers itself may be
// a success too.
func (h *forwardAuth) answersAny() bool {
	return h.dialect == forwardauth.Envoy || h.dialect == forwardauth.Prefixed
}
