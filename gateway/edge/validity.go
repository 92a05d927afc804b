package edge

import (
	"crypto/x509"
	"fmt"
	"time"
)

// expiryNotice is how long before its end a certificate that nobody here renews is worth a warning.
const expiryNotice = 7 * 24 * time.Hour

// CheckValidity says what is wrong with the validity period of a certificate (RFC 5280, section 4.1.2.5): clients refuse it
// because it has expired or is not valid yet, or will in less than a week. nil where nothing is.
func CheckValidity(leaf *x509.Certificate, now time.Time) error {
	name, begin, end := leaf.Subject.CommonName, leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339)
	if len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	switch left := leaf.NotAfter.Sub(now); {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate for %s is not valid before %s: clients refuse it until then; check the clock, or use the one before", name, begin)
	case left < 0:
		return fmt.Errorf("the certificate for %s expired on %s: clients refuse it; replace it", name, end)
	case left < expiryNotice:
		return fmt.Errorf("the certificate for %s expires on %s, in %.1f days; replace it before", name, end, left.Hours()/24)
	}
	return nil
}
