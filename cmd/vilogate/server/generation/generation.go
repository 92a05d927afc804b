package generation

import (
	"cmp"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/backchannel"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies"
)

// Generation is everything that a reload replaces. It never changes once it is built.
type Generation struct {
	Config *config.Config
	Loaded time.Time

	// Returns are the addresses that a login may return to; nil without an IdP in this process.
	Returns *idp.RedirectPolicy

	// The rest is of a gateway.

	Gateway    *gateway.Generation
	Policies   *policies.Set
	PoliciesID string                  // their hash, as audit records name them
	TLS        *HostTLS                // what their hosts ask of connections
	Files      *edge.Files             // the certificates, nil unless they come from files
	Roots      *x509.CertPool          // of the authority; nil for the usual ones
	Verifier   *token.Verifier         // of every issuer's tokens
	Remotes    map[string]*jwks.Remote // keys of other processes by where they come from, also those taken over from the generation before
	Fetched    map[string]*jwks.Remote // the same by the issuer's name
	Own        *jwks.Remote            // those of our own IdP, nil where it is in this process or there is none

	files       []policies.File
	shadowFiles []policies.File // of the shadow policies, which enforce nothing
}

// Builder builds generations. What it holds is the same for all of them.
type Builder struct {
	// PublicPort is the port that people see.
	PublicPort int
	// Shadow is the folder of policies that enforce nothing. Optional.
	Shadow string
	// NoSecrets leaves out the certificates' files, which are not here.
	NoSecrets bool
	// OwnKeys and Login are the keys and the pages of the IdP in this process, where the configuration has one. Neither is
	// used before something is served.
	OwnKeys token.KeySource
	Login   http.Handler
	// Sessions is whom to ask about its sessions; likewise.
	Sessions backchannel.Sessions
	// Roles counts what there is to say of the roles in other issuers' tokens. Optional.
	Roles func(token.RoleFinding)
	// Revoked asks the revocation list about a token; likewise.
	Revoked func(*token.Claims) bool
	Log     *slog.Logger
}

// PolicyHosts are the hosts of the policies.
func (gen *Generation) PolicyHosts() []string {
	if gen.Policies == nil {
		return nil
	}
	return gen.Policies.Hosts()
}

// ServedHosts are the hosts that the process serves: those of the policies, and the login host.
func (gen *Generation) ServedHosts() []string {
	login := gen.Config.Login
	if !gen.Config.UsesOwnIDP() || login == nil || login.Host == "" || gen.Config.IDP == nil && login.Upstream == "" {
		return gen.PolicyHosts()
	}
	return append(slices.Clone(gen.PolicyHosts()), login.Host)
}

// WithFiles is the generation with other certificates.
func (gen *Generation) WithFiles(files *edge.Files) *Generation {
	next := *gen
	next.Files = files
	return &next
}

// PolicyOptions is what policies may name.
func PolicyOptions(cfg *config.Config, publicPort int) policies.Options {
	o := policies.Options{Domain: cfg.Domain, PublicPort: publicPort, Upstreams: cfg.UpstreamNames(), Issuers: cfg.IssuerNames()}
	for i := range cfg.Tokens.Issuers {
		o.ForeignRoles = o.ForeignRoles || cfg.Tokens.Issuers[i].KeepsRoles()
	}
	if cfg.UsesOwnIDP() && cfg.Login != nil {
		o.LoginHost = cfg.Login.Host
	}
	return o
}

// PublicPort is the port that people see; listened is the one listened on.
func PublicPort(cfg *config.Config, listened int) int { return cmp.Or(cfg.PublicPort, listened, 443) }

func portSuffix(port int) string {
	if port == 443 {
		return ""
	}
	return ":" + strconv.Itoa(port)
}

// Prefixes are networks as other rooms take them.
func Prefixes(networks []config.Network) []netip.Prefix {
	all := make([]netip.Prefix, len(networks))
	for i, n := range networks {
		all[i] = n.Prefix
	}
	return all
}

// ClientIPHeaders are the headers that the configuration believes of trusted proxies.
func ClientIPHeaders(cfg *config.Config) []string {
	all := make([]string, len(cfg.ClientIPHeaders))
	for i, name := range cfg.ClientIPHeaders {
		all[i] = string(name)
	}
	return all
}
