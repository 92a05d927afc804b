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

// maxStaple bounds an OCSP answer, in bytes: every handshake carries it.
const maxStaple = 16 << 10

// stapleAgain is when an OCSP answer that did not come is asked for again.
const stapleAgain = time.Hour

// staple keeps the OCSP answer (RFC 6960) of a certificate current, where its
// authority still has them: handshakes carry it, and a certificate that was
// revoked is replaced. Nothing waits for it.
func (m *Manager) staple(ctx context.Context, n *managed) {
	now := m.o.Now()
	if n.own == nil || n.revoked || len(n.pair.Leaf.OCSPServer) == 0 || len(n.pair.Certificate) < 2 || now.Before(n.stapleAt) {
		return
	}
	n.stapleAt = now.Add(stapleAgain)
	raw, answer, err := m.askOCSP(ctx, n.pair)
	switch {
	case err != nil:
		m.o.Log.Debug("no OCSP answer", "name", n.name, "error", err)
		return
	case answer.Status == ocsp.Revoked:
		m.o.Log.Error("the certificate was revoked, and is replaced", "name", n.name, "at", answer.RevokedAt)
		m.mu.Lock()
		n.revoked = true
		m.mu.Unlock()
		return
	case answer.Status != ocsp.Good:
		return
	}
	if !answer.NextUpdate.IsZero() {
		n.stapleAt = answer.ThisUpdate.Add(answer.NextUpdate.Sub(answer.ThisUpdate) / 2)
		if again := now.Add(time.Minute); n.stapleAt.Before(again) {
			n.stapleAt = again
		}
	}
	stapled := *n.pair
	stapled.OCSPStaple = raw
	m.mu.Lock()
	n.pair = &stapled
	m.mu.Unlock()
	m.publish()
}

// askOCSP asks the authority whether a certificate is good.
func (m *Manager) askOCSP(ctx context.Context, pair *tls.Certificate) ([]byte, *ocsp.Response, error) {
	issuer, err := x509.ParseCertificate(pair.Certificate[1])
	if err != nil {
		return nil, nil, err
	}
	question, err := ocsp.CreateRequest(pair.Leaf, issuer, nil)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, pair.Leaf.OCSPServer[0], bytes.NewReader(question))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	resp, err := m.plain.Do(request)
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
	if now := m.o.Now(); !answer.NextUpdate.IsZero() && now.After(answer.NextUpdate) {
		return nil, nil, errors.New("the answer is old")
	}
	return raw, answer, nil
}
