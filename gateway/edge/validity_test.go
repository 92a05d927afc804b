package edge

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestValidityOfACertificate(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := begin.AddDate(0, 3, 0)
	leaf := &x509.Certificate{DNSNames: []string{"app.example.com"}, NotBefore: begin, NotAfter: end}
	for _, c := range []struct {
		now  time.Time
		want string // "" where nothing is wrong
	}{
		{begin.Add(-time.Second), "not valid before 2026-01-01T00:00:00Z"},
		{begin, ""},
		{end.Add(-expiryNotice), ""},
		{end.Add(-expiryNotice + time.Second), "expires on 2026-04-01T00:00:00Z, in 7.0 days"},
		{end, "expires on 2026-04-01T00:00:00Z, in 0.0 days"},
		{end.Add(time.Second), "expired on 2026-04-01T00:00:00Z"},
	} {
		err := CheckValidity(leaf, c.now)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "app.example.com")) {
			t.Errorf("%v: got %v, want %q", c.now, err, c.want)
		}
	}
}
