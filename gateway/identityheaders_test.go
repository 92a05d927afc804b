package gateway

import (
	"slices"
	"testing"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// TestIdentityHeadersAreTheGateways: what backends are told by any preset comes from no client, by no way.
func TestIdentityHeadersAreTheGateways(t *testing.T) {
	t.Parallel()
	var written []string
	for _, preset := range presets {
		x := &forwarding{decided: &decided{}, upstream: &upstream{headers: preset}, assertion: "signed"}
		x.authentication.principal = &principal{user: "alice", id: "1", email: "a@b.example", name: "Alice", roles: "admin"}
		var h field.List
		x.setIdentity(&h)
		for _, f := range h {
			written = append(written, f.Name)
			if request.ClassifyHeader(f.Name) == request.OrdinaryHeader {
				t.Errorf("clients may send %s: it is missing in reservedHeaders", f.Name)
			}
		}
	}
	slices.Sort(written)
	if written = slices.Compact(written); !slices.Equal(written, contractNames) {
		t.Errorf("written: %q\nnamed:   %q", written, contractNames)
	}
}
