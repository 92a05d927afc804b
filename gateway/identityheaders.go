package gateway

import (
	"slices"

	"github.com/viloforge/vilogate/policies/request"
)

// Identity headers that every preset has.
const (
	userIDHeader    = "X-User-Id"
	assertionHeader = "X-User-Assertion"
)

// identityHeaders are the canonical names under which a backend receives the plain
// identity headers; "" where a preset has no name for one.
type identityHeaders struct{ user, email, name, roles, preferredUsername string }

// presets are the sets of names that an upstream can ask for.
var presets = map[string]*identityHeaders{
	"x-user":           {user: "X-User", email: "X-User-Email", name: "X-User-Name", roles: "X-User-Roles"},
	"remote-user":      {user: "Remote-User", email: "Remote-Email", name: "Remote-Name", roles: "Remote-Groups"},
	"x-forwarded-user": {user: "X-Forwarded-User", email: "X-Forwarded-Email", roles: "X-Forwarded-Groups", preferredUsername: "X-Forwarded-Preferred-Username"},
}

// contractNames are the names of identity headers by every preset, which no backend is to be sent unless the gateway says them.
var contractNames = contractNamesOf()

func contractNamesOf() []string {
	names := []string{userIDHeader, assertionHeader}
	for _, preset := range presets {
		for _, name := range [...]string{preset.user, preset.email, preset.name, preset.roles, preset.preferredUsername} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// isContractName reports whether backends could take a header of that name for one of contractNames.
func isContractName(name string) bool {
	return slices.ContainsFunc(contractNames, func(other string) bool { return request.SameHeader(name, other) })
}
