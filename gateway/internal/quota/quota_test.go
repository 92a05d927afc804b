package quota

import (
	"net/netip"
	"testing"
)

// TestQuota: neither all together nor one client holds more than it may, and what is given back is nobody's.
func TestQuota(t *testing.T) {
	t.Parallel()
	q := New(10, 6)
	a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i, step := range []struct {
		client netip.Prefix
		n      int64
		want   bool
	}{{a, 6, true}, {a, 1, false}, {b, 5, false}, {b, 4, true}, {b, 1, false}} {
		if got := q.Acquire(step.client, step.n); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	q.Release(a, 6)
	q.Release(b, 4)
	if q.Used() != 0 || len(q.byClient) != 0 {
		t.Errorf("%d are held, of %d clients", q.Used(), len(q.byClient))
	}
}
