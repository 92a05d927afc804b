package admission

import "net/netip"

// Client is whom requests are counted for: somebody who is signed in, or else a client network (request.ClientNetwork).
type Client struct {
	Network netip.Prefix
	Issuer  string // with Subject, in place of Network
	Subject string
}
