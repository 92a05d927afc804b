package acme

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	acmez "github.com/mholt/acmez/v3/acme"
)

// New verifies the options, and serves what was served before.
func New(ctx context.Context, o Options) (*Manager, error) {
	switch {
	case len(o.Names) == 0 || o.Directory == "" || o.APIToken == "":
		return nil, errors.New("acme: names, an authority and an API token are needed")
	case o.Storage == nil || o.Serve == nil || o.Log == nil:
		return nil, errors.New("acme: a storage, somebody who serves and a log are needed")
	}
	if o.PropagationTimeout <= 0 {
		o.PropagationTimeout = 2 * time.Minute
	}
	if o.PollInterval <= 0 {
		o.PollInterval = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Manager{opts: o, issuer: issuerKey(o.Directory), renewRequests: make(chan renewRequest)}
	digest := sha256.Sum256(fmt.Appendf(nil, "%q", []any{o.Email, o.EAB, o.APIToken, o.APIBase, o.ChallengeDomain, o.Resolvers, o.PropagationTimeout}))
	m.settingsDigest = fmt.Sprintf("%x", digest[:8])
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 256 << 10,
	}
	m.httpClient = &http.Client{Transport: transport, Timeout: requestTimeout}
	var err error
	if m.cloudflare, err = newCloudflareAPI(o.APIBase, m.httpClient); err != nil {
		return nil, err
	}
	toAuthority := transport.Clone()
	toAuthority.TLSClientConfig = &tls.Config{RootCAs: o.Roots}
	m.clock = &skewTransport{next: toAuthority, now: o.Now}
	m.client = &acmez.Client{
		Directory: o.Directory, UserAgent: "vilogate", PollTimeout: 2 * time.Minute,
		HTTPClient: &http.Client{Transport: m.clock, Timeout: requestTimeout},
	}
	for _, name := range o.Names {
		m.names = append(m.names, &managed{name: name})
	}
	m.serveCached(ctx)
	return m, nil
}

// Run obtains and renews the certificates until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, n := range m.names {
			m.pollStorage(ctx, n)
		}
		for _, n := range m.names {
			m.staple(ctx, n)
			if m.refreshARI(ctx, n); m.due(n) {
				_ = m.obtainIfDue(ctx, n, false, nil) // it is logged, and retried
			}
		}
		timer := time.NewTimer(m.nextWake())
		select {
		case <-ctx.Done():
		case <-timer.C:
		case d := <-m.renewRequests:
			d.reply <- m.handleRenew(ctx, d)
		}
		timer.Stop()
	}
	return nil
}

// nextWake is how long Run may sleep.
func (m *Manager) nextWake() time.Duration {
	wait, now := m.opts.PollInterval, m.opts.Now()
	for _, n := range m.names {
		if at := n.dueAt(now); at.After(now) {
			wait = min(wait, at.Sub(now))
		}
		switch {
		case n.issued == nil:
			wait = min(wait, time.Second) // another process may obtain it this moment
		case now.Before(n.issued.leaf().NotAfter):
			wait = min(wait, n.nextARI().Sub(now))
		}
	}
	return max(wait, 100*time.Millisecond)
}
