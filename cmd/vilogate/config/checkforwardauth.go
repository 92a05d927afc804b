package config

// checkForwardAuth is about proxies that ask.
func (c *checker) checkForwardAuth() {
	f := c.ForwardAuth
	switch {
	case f == nil:
	case !c.Gateway():
		c.errorf(c.Places.Of("forward_auth"), "forward_auth is for a gateway, and without `policies:` this process is none")
	case f.Listen == Off:
		c.errorf(f.Places.Of("listen"), "forward_auth.listen cannot be off; leave forward_auth out")
	case len(f.TrustedProxies) == 0 && isSet(f.Places, "trusted_proxies"):
		c.errorf(f.Places.Of("trusted_proxies"), "forward_auth.trusted_proxies is empty: nobody could ask; name the networks of the proxies")
	}
	if f == nil {
		return
	}
	for _, network := range f.TrustedProxies {
		if network.IsValid() && network.Bits() == 0 {
			c.errorf(f.Places.Of("trusted_proxies"), "forward_auth.trusted_proxies holds everybody (%s): whoever asks is believed to be anybody; name the networks of the proxies", network)
		}
	}
}
