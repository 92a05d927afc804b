package generation

import (
	"net/http"
	"testing"
)

// A proxy is between companies; our own IdP is behind the same doors.
func TestOurOwnIdPIsAskedWithoutAProxy(t *testing.T) {
	t.Parallel()
	if own := backChannelClient().Transport.(*http.Transport); own.Proxy != nil {
		t.Error("our own IdP is asked through the proxy of the environment")
	}
	other, err := issuerClient("")
	if err != nil || other.Transport.(*http.Transport).Proxy == nil {
		t.Errorf("another issuer is asked without it, %v", err)
	}
	local, err := http.NewRequest(http.MethodGet, "https://login.viloforge.localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if proxy, err := proxyFromEnvironment(local); proxy != nil || err != nil {
		t.Errorf("this machine is asked through %v, %v", proxy, err)
	}
	if _, err := issuerClient("no PEM"); err == nil {
		t.Error("an empty CA was taken")
	}
}
