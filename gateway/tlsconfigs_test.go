package gateway

import (
	"net/url"
	"testing"
)

// TestWhatSaysTheSameOfTLSIsTheSame from one generation to the next, so that connections are kept: they are told apart by it.
func TestWhatSaysTheSameOfTLSIsTheSame(t *testing.T) {
	t.Parallel()
	var configs tlsConfigs
	of := func(settings UpstreamTLS, address string) any {
		identity, err := settings.parse()
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return configs.config(identity, u)
	}
	first := of(UpstreamTLS{}, "https://a.test:1")
	if of(UpstreamTLS{}, "https://a.test:2/app") != first || of(UpstreamTLS{Name: "a.test"}, "https://10.0.0.1") != first {
		t.Error("what says the same is not the same")
	}
	if of(UpstreamTLS{}, "https://b.test:1") == first || of(UpstreamTLS{Name: "b.test"}, "https://a.test:1") == first {
		t.Error("who is to be there is not told apart")
	}
}
