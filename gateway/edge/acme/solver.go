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
	provider        *idempotentProvider
	resolvers       []string // none: the zone's own name servers
	propagation     time.Duration
	challengeDomain string // the challenge domain, or ""
}

// newSolver makes one for an attempt: its zone cache lives as long.
func newSolver(o *Options, api *cloudflareAPI) *solver {
	return &solver{
		provider:  &idempotentProvider{Provider: &cloudflare.Provider{APIToken: o.APIToken, HTTPClient: api}},
		resolvers: o.Resolvers, propagation: o.PropagationTimeout, challengeDomain: o.ChallengeDomain,
	}
}

// txtRecord is the TXT record of a dns-01 challenge, by its name without the final dot.
func (s *solver) txtRecord(c acmez.Challenge) (name, value string) {
	if s.challengeDomain != "" {
		return s.challengeDomain, c.DNS01KeyAuthorization()
	}
	return c.DNS01TXTRecordName(), c.DNS01KeyAuthorization()
}

// present writes the record and waits until it can be seen. Whoever calls it
// removes it again, whatever comes of it.
func (s *solver) present(ctx context.Context, c acmez.Challenge) error {
	name, _ := s.txtRecord(c)
	one := certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
		DNSProvider: s.provider, TTL: time.Minute, Resolvers: s.resolvers, PropagationTimeout: s.propagation,
		OverrideDomain: s.challengeDomain, Logger: zap.NewNop(),
	}}
	if err := one.Present(ctx, c); err != nil {
		return dnsProblem("adding the TXT record "+name+" through Cloudflare", name, err)
	}
	if err := one.Wait(ctx, c); err != nil {
		where := "its zone's name servers"
		if len(s.resolvers) > 0 {
			where = strings.Join(s.resolvers, ", ")
		}
		return &Problem{
			Op: "waiting for the TXT record " + name + " to be seen at " + where, Err: err,
			Advice: "Cloudflare took the record, and it does not show: is the domain delegated to Cloudflare's name servers, and can they be asked from here " +
				"(certificates.dns.resolvers)? If it only takes long, raise certificates.dns.propagation_timeout",
		}
	}
	return nil
}

// remove deletes a record, of this process or of one before it. One that is not
// there is no error.
func (s *solver) remove(ctx context.Context, name, value string) error {
	zone, err := certmagic.FindZoneByFQDN(ctx, zap.NewNop(), name, certmagic.RecursiveNameservers(s.resolvers))
	if err == nil {
		_, err = s.provider.DeleteRecords(ctx, zone, []libdns.Record{libdns.TXT{Name: libdns.RelativeName(name+".", zone), Text: value}})
	}
	if err != nil {
		return dnsProblem("removing the TXT record "+name+" through Cloudflare", name, err)
	}
	return nil
}

// checkDelegation makes sure that the name of a challenge is an alias of the
// challenge domain, before anything is ordered.
func (s *solver) checkDelegation(ctx context.Context, name string) error {
	if s.challengeDomain == "" {
		return nil
	}
	asked := "_acme-challenge." + strings.TrimPrefix(name, "*.")
	p := &Problem{
		Op: "looking up " + asked, Err: errors.New("there is nobody to ask"),
		Advice: "can the resolvers (certificates.dns.resolvers) be asked from here? It is tried again by itself",
	}
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(asked), dns.TypeCNAME)
	for _, server := range certmagic.RecursiveNameservers(s.resolvers) {
		answer, _, err := new(dns.Client).ExchangeContext(ctx, question, server)
		if err == nil && answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
			err = fmt.Errorf("%s answered %s", server, dns.RcodeToString[answer.Rcode])
		}
		if err != nil {
			p.Err = err
			continue
		}
		alias := cnameTarget(answer)
		switch {
		case strings.EqualFold(alias, s.challengeDomain):
			return nil
		case alias == "":
			p.Err = fmt.Errorf("it is no alias of the challenge domain %s", s.challengeDomain)
		default:
			p.Err = fmt.Errorf("it is an alias of %s, not of the challenge domain %s", alias, s.challengeDomain)
		}
		p.Advice = fmt.Sprintf("create the record `%s. CNAME %s.` once, where %s is served", asked, s.challengeDomain, strings.TrimPrefix(name, "*."))
		break
	}
	return p
}

// cnameTarget is the target of the first CNAME of an answer, without the final dot;
// "" where there is none.
func cnameTarget(answer *dns.Msg) string {
	for _, rr := range answer.Answer {
		if alias, ok := rr.(*dns.CNAME); ok {
			return strings.TrimSuffix(alias.Target, ".")
		}
	}
	return ""
}

// dnsProblem makes a problem of a failed edit of the zone.
func dnsProblem(op, record string, err error) error {
	p := &Problem{Op: op, Err: err}
	var apiErr *apiError
	switch {
	case errors.Is(err, errNoZone):
		p.Advice = "give the token access to the zone of " + record + " (Zone Resources), or create the zone in that Cloudflare account"
	case errors.As(err, &apiErr) && apiErr.Status == http.StatusTooManyRequests:
		p.Advice = "Cloudflare's API takes no more for now; it is tried again by itself"
	case errors.As(err, &apiErr) && (apiErr.Status == http.StatusForbidden || apiErr.Status == http.StatusUnauthorized || apiErr.Status == http.StatusBadRequest):
		p.Advice = "certificates.api_token is not allowed to: it has to be an API token (not the global key) with the permissions Zone / Zone / Read and Zone / DNS / Edit for this zone"
	case errors.As(err, &apiErr):
		p.Advice = "Cloudflare's API is in trouble; it is tried again by itself"
	default:
		p.Advice = "can Cloudflare's API and the name servers (certificates.dns.resolvers) be reached from here? It is tried again by itself"
	}
	return p
}

// idempotentProvider is Cloudflare's provider with idempotent adding: a record that
// an interrupted process left behind is as good as a new one.
type idempotentProvider struct{ *cloudflare.Provider }

// AppendRecords implements libdns.RecordAppender.
func (t *idempotentProvider) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	added, err := t.Provider.AppendRecords(ctx, zone, records)
	var apiErr *apiError
	if errors.As(err, &apiErr) && apiErr.alreadyExists() {
		return records, nil
	}
	return added, err
}

// DeleteRecords implements libdns.RecordDeleter. The library takes a search that
// failed for one that found nothing; here it is an error.
func (t *idempotentProvider) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	var failed error
	deleted, err := t.Provider.DeleteRecords(context.WithValue(ctx, requestErrKey{}, &failed), zone, records)
	if err == nil {
		err = failed
	}
	return deleted, err
}
