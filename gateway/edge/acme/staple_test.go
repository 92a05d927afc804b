package acme_test

import (
	"crypto"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/viloforge/vilogate/gateway/edge/acme/acmetest"
)

// A certificate that names a responder is served with its answer; one that the
// responder calls revoked is replaced.
func TestStaples(t *testing.T) {
	t.Parallel()
	var w *acmetest.World
	var revoked atomic.Bool
	responder := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		question, err := ocsp.ParseRequest(raw)
		if err != nil {
			t.Error(err)
			return
		}
		certificate, key := w.Intermediate()
		signer, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			t.Error(err)
			return
		}
		answer := ocsp.Response{Status: ocsp.Good, SerialNumber: question.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
		if revoked.Load() {
			answer.Status, answer.RevokedAt = ocsp.Revoked, time.Now()
		}
		signed, err := ocsp.CreateResponse(signer.Leaf, signer.Leaf, answer, signer.PrivateKey.(crypto.Signer))
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := rw.Write(signed); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(responder.Close)
	w = acmetest.New(t, acmetest.PebbleOptions{OCSP: responder.URL, Validity: 2 * time.Minute}, "viloforge.test")
	s, dir := &served{}, filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, s)
	o.Names = o.Names[:1]
	_, stop := manage(t, o)
	eventually(t, "the staple", func() bool { all := s.certificates(); return len(all) == 1 && len(all[0].OCSPStaple) > 0 })
	first := s.certificates()[0].Leaf.SerialNumber
	stop()
	revoked.Store(true)
	_, stop = manage(t, o)
	// It is replaced when the certificate is half a minute old: not one after the other.
	eventually(t, "another certificate", func() bool { return s.certificates()[0].Leaf.SerialNumber.Cmp(first) != 0 })
	stop()
	if w.Orders() != 2 {
		t.Errorf("%d orders, want 2", w.Orders())
	}
}
