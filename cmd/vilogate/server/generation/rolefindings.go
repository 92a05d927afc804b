package generation

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/viloforge/vilogate/idp/token"
)

// advice is what the log says of a finding about roles, and what would be right.
var advice = map[string]string{
	token.RolesMissing:      "a token has no role where claims.roles says; warned of once",
	token.RolesOverage:      "the issuer left the roles out of a token, as too many (overage); have it send fewer, such as those of this application; warned of once",
	token.RolesUnreadable:   "roles that cannot be one here do not count; map them: role_map",
	token.RolesAmbiguous:    "roles that are spelled as another, or as one that role_map gives, do not count; map them: role_map",
	token.RolesNotForwarded: "roles beyond 4 KiB are not told to backends; map those that backends ask for: role_map",
}

// What is logged of roles by their names, at most: in a line, and of one issuer and finding.
const (
	maxRolesInLine = 32
	maxRolesNamed  = 512
)

// roleFindings are told of the roles in tokens: they count each finding, and log it once for an issuer, or once for a role.
// Safe for concurrent use.
type roleFindings struct {
	log   *slog.Logger
	count func(token.RoleFinding)

	mu    sync.Mutex
	named map[[2]string]map[string]bool // by issuer and finding, the roles that were logged; guarded by mu
}

func newRoleFindings(log *slog.Logger, count func(token.RoleFinding)) *roleFindings {
	return &roleFindings{log: log, count: count, named: map[[2]string]map[string]bool{}}
}

func (r *roleFindings) report(f token.RoleFinding) {
	if r.count != nil {
		r.count(f)
	}
	if roles, first := r.unnamed(f); first || len(roles) > 0 {
		attrs := []any{slog.String("issuer", f.Issuer), slog.String("finding", f.Finding), slog.String("claim", f.Claim)}
		if len(roles) > 0 {
			attrs = append(attrs, slog.Int("count", len(f.Roles)), slog.String("roles", strings.Join(roles, ", ")))
		}
		r.log.Warn(advice[f.Finding], attrs...)
	}
}

// unnamed are those roles of a finding that were not logged yet, and whether it is the first of its kind.
func (r *roleFindings) unnamed(f token.RoleFinding) (roles []string, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{f.Issuer, f.Finding}
	named := r.named[key]
	if first = named == nil; first {
		named = map[string]bool{}
		r.named[key] = named
	}
	for _, role := range f.Roles {
		if !named[role] && len(named) < maxRolesNamed && len(roles) < maxRolesInLine {
			named[role] = true
			roles = append(roles, role)
		}
	}
	return roles, first
}
