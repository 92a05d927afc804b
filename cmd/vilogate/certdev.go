package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/edge/certstore"
)

// certDevCommand gets a certificate for a developer's machine: a real one where there is an API token, else the local CA's.
type certDevCommand struct {
	Project         string   `placeholder:"P" help:"The names are P.ZONE and *.P.ZONE."`
	Zone            string   `default:"viloforge.com" help:"The zone at Cloudflare that the project's names are in."`
	CA              string   `placeholder:"URL" help:"The authority's directory, or \"staging\"; default: Let's Encrypt."`
	CARoots         string   `placeholder:"FILE" help:"Whom to trust as the authority's own server."`
	APIBase         string   `placeholder:"URL" help:"Where Cloudflare's API is."`
	ChallengeDomain string   `placeholder:"NAME" help:"Where _acme-challenge.P.ZONE is an alias of; the token need reach that zone only."`
	Resolver        []string `placeholder:"ADDR" help:"Whom to ask about DNS, instead of the system's resolvers."`
	State           string   `placeholder:"DIR" help:"The folder in which dev finds the certificate; default: .vilogate-P.ZONE, where make dev DOMAIN=P.ZONE looks, and .vilogate without a project."`
}

// tokenVariable is the environment variable of the API token. It is never an argument, which other users of the machine
// could see.
const tokenVariable = "CLOUDFLARE_API_TOKEN"

// Run gets the certificate, and says how to use it.
func (c *certDevCommand) Run(w *commandEnv) (err error) {
	domain := devDomain
	if c.Project != "" {
		domain = c.Project + "." + c.Zone
	}
	host := ""
	if c.Project != "" {
		host = domain
	}
	if err := config.CheckACME(host, acmeDirectory(c.CA), c.APIBase, c.ChallengeDomain, c.Resolver); err != nil {
		return usageError{err}
	}
	named := c.State != ""
	if !named {
		c.State = devState
		if c.Project != "" {
			c.State += "-" + domain
		}
	}
	token := w.getenv(tokenVariable)
	if token != "" && c.Project == "" {
		return usageError{fmt.Errorf("with %s set, cert dev needs --project P: the certificate is for P.%s and *.P.%s", tokenVariable, c.Zone, c.Zone)}
	}
	if named {
		if err := state.BecomeOwner(c.State); err != nil {
			return err
		}
	}
	st, err := state.Open(c.State, true)
	if errors.Is(err, state.ErrInUse) {
		return fmt.Errorf("%w; end `vilogate dev` first, which reads its certificate when it starts", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if token == "" {
		return c.local(w, st, domain)
	}
	return c.obtain(w, st, domain, token)
}

// local makes the local CA, and says how to have it trusted.
func (c *certDevCommand) local(w *commandEnv, st *state.Folder, domain string) error {
	ca, err := edge.OpenLocalCA(st.Dir, domain, []string{domain, "*." + domain}, time.Now)
	if err != nil {
		return err
	}
	flag := ""
	if c.State != devState {
		flag = " --state " + c.State
	}
	_, err = fmt.Fprintf(w.stdout, `Without %s there is no public certificate; this is the local CA's, for %s and the names below it:

  %s

It can vouch for no other name, and nothing trusts it until you say so:

  curl --cacert %s https://website.%s:8443/about
  vilogate cert trust%s       # browsers and the system; vilogate cert untrust%s takes it back
`, tokenVariable, domain, ca.Path(), ca.Path(), domain, flag, flag)
	return err
}

// obtain gets a certificate that everybody trusts.
func (c *certDevCommand) obtain(w *commandEnv, st *state.Folder, domain, token string) error {
	ctx, cancel := context.WithTimeout(w.ctx, renewTimeout)
	defer cancel()
	roots, err := generation.AuthorityRoots(c.CARoots)
	if err != nil {
		return err
	}
	files, err := certstore.OpenFiles(st.Path(state.Certificates))
	if err != nil {
		return err
	}
	names := []string{domain, "*." + domain}
	m, err := acme.New(ctx, acme.Options{
		Names: names, Directory: acmeDirectory(c.CA), Roots: roots, APIToken: token, APIBase: c.APIBase,
		ChallengeDomain: c.ChallengeDomain, Resolvers: c.Resolver, Storage: files,
		Serve: new(edge.Managed).Replace, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if err := m.Load(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w.stdout, "Obtaining %s from %s; this takes a minute or two …\n", strings.Join(names, " and "), acmeDirectory(c.CA)); err != nil {
		return err
	}
	if err := m.Obtain(ctx, "", false); err != nil {
		return err
	}
	if err := printCertificates(w, m.Status(), false); err != nil {
		return err
	}
	return c.printNextSteps(ctx, w, domain)
}

// acmeDirectory is the ACME directory URL of a word or an address.
func acmeDirectory(ca string) string {
	if ca == "staging" {
		return "https://acme-staging-v02.api.letsencrypt.org/directory"
	}
	return cmp.Or(ca, "https://acme-v02.api.letsencrypt.org/directory")
}

// printNextSteps says how dev is started with the certificate, and how its hosts are found where DNS does not know them.
func (c *certDevCommand) printNextSteps(ctx context.Context, w *commandEnv, domain string) error {
	_, err := fmt.Fprintf(w.stdout, "\nNow: make dev DOMAIN=%s   (or: vilogate dev --domain %s --state %s)\n", domain, domain, c.State)
	if err != nil || resolvesToLoopback(ctx, "website."+domain) {
		return err
	}
	hosts := []string{domain}
	for _, host := range []string{"website", "login", "billing-api", "inventory-api"} {
		hosts = append(hosts, host+"."+domain)
	}
	_, err = fmt.Fprintf(w.stdout, `
DNS does not point website.%s at this machine. Either a record *.%s A 127.0.0.1, or these lines in /etc/hosts:

127.0.0.1 %s
::1       %s
`, domain, domain, strings.Join(hosts, " "), strings.Join(hosts, " "))
	return err
}

// resolvesToLoopback reports whether a name resolves to a loopback address.
func resolvesToLoopback(ctx context.Context, host string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err == nil && len(addresses) > 0 && netip.Addr.IsLoopback(addresses[0].Unmap())
}
