package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/crypto/ocsp"
)

// maxStaple bounds an OCSP response, in bytes: every handshake carries it.
const maxStaple = 16 << 10

// ocspRetryInterval is the time after a failed OCSP request.
const ocspRetryInterval = time.Hour

// staple keeps the stapled OCSP response (RFC 6960, RFC 6066 section 8) of a
// certificate current, where its authority still has them: handshakes carry it, and
// a certificate that was revoked is replaced. Nothing waits for it.
func (m *Manager) staple(ctx context.Context, n *managed) {
	now := m.opts.Now()
	if n.issued == nil || n.revoked || len(n.served.Leaf.OCSPServer) == 0 || len(n.served.Certificate) < 2 || now.Before(n.nextOCSP) {
		return
	}
	n.nextOCSP = now.Add(ocspRetryInterval)
	raw, answer, err := m.fetchOCSP(ctx, n.served)
	switch {
	case err != nil:
		m.opts.Log.Debug("OCSP request failed", "name", n.name, "error", err)
		return
	case answer.Status == ocsp.Revoked:
		m.opts.Log.Error("certificate revoked, replacing it", "name", n.name, "at", answer.RevokedAt)
		m.mu.Lock()
		n.revoked = true
		m.mu.Unlock()
		return
	case answer.Status != ocsp.Good:
		return
	}
	if !answer.NextUpdate.IsZero() {
		n.nextOCSP = answer.ThisUpdate.Add(answer.NextUpdate.Sub(answer.ThisUpdate) / 2)
		if again := now.Add(time.Minute); n.nextOCSP.Before(again) {
			n.nextOCSP = again
		}
	}
	stapled := *n.served
	stapled.OCSPStaple = raw
	m.mu.Lock()
	n.served = &stapled
	m.mu.Unlock()
	m.publish()
}

// fetchOCSP fetches the OCSP response of a certificate.
func (m *Manager) fetchOCSP(ctx context.Context, pair *tls.Certificate) ([]byte, *ocsp.Response, error) {
	issuer, err := x509.ParseCertificate(pair.Certificate[1])
	if err != nil {
		return nil, nil, err
	}
	question, err := ocsp.CreateRequest(pair.Leaf, issuer, nil)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, pair.Leaf.OCSPServer[0], bytes.NewReader(question))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	resp, err := m.httpClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxStaple+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK || len(raw) > maxStaple {
		return nil, nil, fmt.Errorf("the responder answered %s with %d bytes", resp.Status, len(raw))
	}
	answer, err := ocsp.ParseResponseForCert(raw, pair.Leaf, issuer)
	if err != nil {
		return nil, nil, err
	}
	if now := m.opts.Now(); !answer.NextUpdate.IsZero() && now.After(answer.NextUpdate) {
		return nil, nil, errors.New("the OCSP response is expired")
	}
	return raw, answer, nil
}
