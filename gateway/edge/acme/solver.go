package acme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/cloudflare"
	"github.com/libdns/libdns"
	acmez "github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"
	"go.uber.org/zap"
)

// A solver puts the TXT record of a DNS-01 challenge (RFC 8555, section 8.4) into
// the zone, waits until it is seen, and removes it.
type solver struct {
	provider    *tolerant
	resolvers   []string // none: the zone's own name servers
	propagation time.Duration
	delegated   string // the challenge domain, or ""
}

func newSolver(o *Options, client *http.Client) (*solver, error) {
	api, err := newCloudflareAPI(o.APIBase, client)
	if err != nil {
		return nil, err
	}
	return &solver{
		provider:  &tolerant{Provider: &cloudflare.Provider{APIToken: o.APIToken, HTTPClient: api}},
		resolvers: o.Resolvers, propagation: o.PropagationTimeout, delegated: o.ChallengeDomain,
	}, nil
}

// recordOf is the record that a challenge needs.
func (s *solver) recordOf(c acmez.Challenge) txt {
	if s.delegated != "" {
		return txt{s.delegated, c.DNS01KeyAuthorization()}
	}
	return txt{c.DNS01TXTRecordName(), c.DNS01KeyAuthorization()}
}

// present writes the record and waits until it can be seen. Whoever calls it
// removes it again, whatever comes of it.
func (s *solver) present(ctx context.Context, c acmez.Challenge) error {
	record := s.recordOf(c)
	if err := s.checkDelegation(ctx, c); err != nil {
		return err
	}
	one := certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
		DNSProvider: s.provider, TTL: time.Minute, Resolvers: s.resolvers, PropagationTimeout: s.propagation,
		OverrideDomain: s.delegated, Logger: zap.NewNop(),
	}}
	if err := one.Present(ctx, c); err != nil {
		return ofDNS("adding the TXT record "+record.Name+" through Cloudflare", record.Name, err)
	}
	if err := one.Wait(ctx, c); err != nil {
		where := "its zone's name servers"
		if len(s.resolvers) > 0 {
			where = strings.Join(s.resolvers, ", ")
		}
		return &Problem{
			Doing: "waiting for the TXT record " + record.Name + " to be seen at " + where, Err: err,
			Advice: "Cloudflare took the record, and it does not show: is the domain delegated to Cloudflare's name servers, and can they be asked from here " +
				"(certificates.dns.resolvers)? If it only takes long, raise certificates.dns.propagation_timeout",
		}
	}
	return nil
}

// remove deletes a record, of this process or of one before it. One that is not
// there is no error.
func (s *solver) remove(ctx context.Context, record txt) error {
	zone, err := certmagic.FindZoneByFQDN(ctx, zap.NewNop(), record.Name, certmagic.RecursiveNameservers(s.resolvers))
	if err == nil {
		_, err = s.provider.DeleteRecords(ctx, zone, []libdns.Record{libdns.TXT{Name: libdns.RelativeName(record.Name+".", zone), Text: record.Value}})
	}
	if err != nil {
		return ofDNS("removing the TXT record "+record.Name+" through Cloudflare", record.Name, err)
	}
	return nil
}

// checkDelegation makes sure that the name of the challenge is an alias of the
// challenge domain, before anything is asked of anybody.
func (s *solver) checkDelegation(ctx context.Context, c acmez.Challenge) error {
	if s.delegated == "" {
		return nil
	}
	name := c.DNS01TXTRecordName()
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), dns.TypeCNAME)
	want := fmt.Sprintf("create the record `%s. CNAME %s.` once, where %s is served", name, s.delegated, c.Identifier.Value)
	var failed error
	for _, server := range certmagic.RecursiveNameservers(s.resolvers) {
		answer, _, err := new(dns.Client).ExchangeContext(ctx, question, server)
		if err != nil {
			failed = err
			continue
		}
		for _, rr := range answer.Answer {
			alias, ok := rr.(*dns.CNAME)
			if !ok {
				continue
			}
			if strings.EqualFold(strings.TrimSuffix(alias.Target, "."), s.delegated) {
				return nil
			}
			failed = fmt.Errorf("it is an alias of %s, not of the challenge domain %s", strings.TrimSuffix(alias.Target, "."), s.delegated)
		}
		if failed == nil {
			failed = fmt.Errorf("it is no alias of the challenge domain %s", s.delegated)
		}
		break
	}
	return &Problem{Doing: "looking up " + name, Err: failed, Advice: want}
}

// ofDNS makes a problem of what came of editing the zone.
func ofDNS(doing, record string, err error) error {
	p := &Problem{Doing: doing, Err: err}
	var said *apiError
	switch {
	case errors.Is(err, errNoZone):
		p.Advice = "give the token access to the zone of " + record + " (Zone Resources), or create the zone in that Cloudflare account"
	case errors.As(err, &said) && said.Status == http.StatusTooManyRequests:
		p.Advice = "Cloudflare's API takes no more for now; it is tried again by itself"
	case errors.As(err, &said) && (said.Status == http.StatusForbidden || said.Status == http.StatusUnauthorized || said.Status == http.StatusBadRequest):
		p.Advice = "certificates.api_token is not allowed to: it has to be an API token (not the global key) with the permissions Zone / Zone / Read and Zone / DNS / Edit for this zone"
	case errors.As(err, &said):
		p.Advice = "Cloudflare's API is in trouble; it is tried again by itself"
	default:
		p.Advice = "can Cloudflare's API and the name servers (certificates.dns.resolvers) be reached from here? It is tried again by itself"
	}
	return p
}

// tolerant is Cloudflare with a memory for accidents: a record that a process
// left behind when it ended is as good as a new one.
type tolerant struct{ *cloudflare.Provider }

// AppendRecords implements libdns.RecordAppender.
func (t *tolerant) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	added, err := t.Provider.AppendRecords(ctx, zone, records)
	var said *apiError
	if errors.As(err, &said) && said.identical() {
		return records, nil
	}
	return added, err
}

// DeleteRecords implements libdns.RecordDeleter. The library takes a search that
// failed for one that found nothing; here it is an error.
func (t *tolerant) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	var failed error
	deleted, err := t.Provider.DeleteRecords(context.WithValue(ctx, failureSeen{}, &failed), zone, records)
	if err == nil {
		err = failed
	}
	return deleted, err
}
