package token

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/idp/token/names"
)

// What becomes of roles of another issuer that RolesConfig.Map does not name.
const (
	RolesKeep = "keep" // they count as they are
	RolesDrop = "drop" // they do not count; in Map, instead of a role, of one that does not
	RolesSlug = "slug" // they count in the spelling of our own roles
)

// MaxForwardedRoles is how many bytes the roles may take in a header to a backend,
// and in the payload of an assertion: what servers take as one field is 8 KiB at most.
const MaxForwardedRoles = 4 << 10

// RolesConfig says where another issuer's tokens have the roles, if not in one
// claim, and what becomes of them.
type RolesConfig struct {
	// Path leads to the roles, member by member, in place of ClaimRoles. Optional.
	Path []string

	// Delimiter divides a text into roles. Optional: a text is one role, but for the
	// claims scope and scp, which are words (RFC 8693, section 4.2).
	Delimiter string

	// Map has our role, or RolesDrop, for each of theirs that it names. A role that
	// stands there is given by it alone. Optional.
	Map map[string]string

	// Unmapped is RolesKeep, RolesDrop or RolesSlug. Optional: RolesKeep.
	Unmapped string
}

// What there can be to say of the roles in a token: the Finding of a RoleFinding.
const (
	RolesMissing      = "missing"       // the claim is not there, or names no role
	RolesOverage      = "overage"       // the issuer left them out, as too many: they are to be asked for elsewhere
	RolesUnreadable   = "unreadable"    // some are no text, or none that can be a role
	RolesAmbiguous    = "ambiguous"     // some are spelled as one that Map names or gives
	RolesNotForwarded = "not-forwarded" // some are beyond MaxForwardedRoles: policies see them, backends do not
)

// RoleFinding is what there is to say to whoever configured an issuer.
type RoleFinding struct {
	Issuer  string // its name
	Finding string // one of the above
	Claim   string // where the roles were looked for
	Roles   []string
}

// roleRules is a checked RolesConfig, with the name of the claim.
type roleRules struct {
	RolesConfig

	claim string          // its whole name, or a dotted path; "" with a Path, or without roles
	last  string          // the last name of the path
	given map[string]bool // the roles that Map gives
}

// foundRoles are the roles of one token.
type foundRoles struct {
	all       []string // sorted, each once
	forwarded []string // those of all that backends are told of
	findings  []RoleFinding
}

func newRoleRules(claim string, c RolesConfig) (roleRules, error) {
	r := roleRules{RolesConfig: c, claim: claim, given: map[string]bool{}}
	switch {
	case claim != "" && c.Path != nil:
		return roleRules{}, fmt.Errorf("either a claim with the roles or a path to them")
	case slices.Contains(c.Path, ""):
		return roleRules{}, fmt.Errorf("a name on the path to the roles is empty")
	case !slices.Contains([]string{"", RolesKeep, RolesDrop, RolesSlug}, c.Unmapped):
		return roleRules{}, fmt.Errorf("unmapped roles are none of keep, drop, slug: %q", c.Unmapped)
	case !r.any() && (c.Delimiter != "" || len(c.Map) > 0 || c.Unmapped != ""):
		return roleRules{}, fmt.Errorf("what becomes of roles is said, and no claim that has them")
	}
	for theirs, ours := range c.Map {
		if theirs == "" || !names.IsRole(ours) {
			return roleRules{}, fmt.Errorf("no role can be %q for %q", ours, theirs)
		}
		r.given[ours] = ours != RolesDrop
	}
	if r.last = claim; c.Path != nil {
		r.last = c.Path[len(c.Path)-1]
	} else if at := strings.LastIndexByte(claim, '.'); at >= 0 {
		r.last = claim[at+1:]
	}
	return r, nil
}

// any reports whether roles are looked for at all.
func (r *roleRules) any() bool { return r.claim != "" || len(r.Path) > 0 }

// topNames are the names of claims that roles are looked for under.
func (r *roleRules) topNames() []string {
	if len(r.Path) > 0 {
		return r.Path[:1]
	}
	first, _, dotted := strings.Cut(r.claim, ".")
	if !dotted || first == "" {
		return []string{r.claim}
	}
	return []string{r.claim, first}
}

// String names the place of the roles for the log.
func (r *roleRules) String() string {
	if len(r.Path) > 0 {
		return strings.Join(r.Path, " > ")
	}
	return r.claim
}

// read finds the roles in the claims of a token.
func (r *roleRules) read(claims object) (found foundRoles) {
	if !r.any() {
		return found
	}
	report := func(finding string, roles ...string) {
		found.findings = append(found.findings, RoleFinding{Finding: finding, Claim: r.String(), Roles: roles})
	}
	v, _ := r.locate(claims)
	theirs, unreadable := r.namesIn(v)
	switch {
	case r.isOverage(claims):
		report(RolesOverage)
	case len(theirs) == 0:
		report(RolesMissing)
	}
	mapped, rest := r.translate(theirs, func(finding, role string) {
		if finding == RolesUnreadable {
			unreadable = append(unreadable, clean(role, names.MaxRole))
			return
		}
		report(finding, role)
	})
	if len(unreadable) > 0 {
		report(RolesUnreadable, unreadable...)
	}
	found.all = sortedSet(slices.Concat(mapped, rest))
	var beyond []string
	if found.forwarded, beyond = fitting(slices.Concat(sortedSet(mapped), rest)); len(beyond) > 0 {
		report(RolesNotForwarded, beyond...)
	}
	return found
}

// locate finds the value with the roles: the claim of the whole name before a path
// through objects.
func (r *roleRules) locate(claims object) (value, bool) {
	path := r.Path
	if len(path) == 0 {
		if v, ok := claims.get(r.claim); ok {
			return v, true
		}
		path = strings.Split(r.claim, ".")
	}
	v, ok := value{kind: kindObject, members: claims}, true
	for _, name := range path {
		if v, ok = v.members.get(name); !ok {
			return value{}, false
		}
	}
	return v, true
}

// namesIn reads roles as issuers write them: a list of texts, an object with a
// member for each, or one text. What is no text is unreadable.
func (r *roleRules) namesIn(v value) (roles, unreadable []string) {
	switch v.kind {
	case kindString:
		roles = r.divide(v.text)
	case kindArray:
		for _, e := range v.list {
			if e.kind != kindString {
				unreadable = append(unreadable, "(no text)")
			} else if e.text != "" {
				roles = append(roles, e.text)
			}
		}
	case kindObject:
		for _, m := range v.members {
			if is := m.value; is.kind != kindNull && (is.kind != kindBool || is.text == "true") && m.name != "" {
				roles = append(roles, m.name)
			}
		}
	}
	return unique(roles), unreadable
}

func (r *roleRules) divide(text string) (roles []string) {
	switch {
	case r.Delimiter != "":
		for part := range strings.SplitSeq(text, r.Delimiter) {
			if part = strings.TrimSpace(part); part != "" {
				roles = append(roles, part)
			}
		}
	case r.last == "scope" || r.last == "scp":
		return strings.Fields(text)
	case text != "":
		return []string{text}
	}
	return roles
}

// isOverage reports whether the issuer says that it left the roles out: by a
// distributed claim (OpenID Connect Core, 5.6.2), or as Entra does where that does not fit.
func (r *roleRules) isOverage(claims object) bool {
	elsewhere, _ := claims.get("_claim_names")
	for _, name := range r.topNames() {
		if _, ok := elsewhere.members.get(name); ok {
			return true
		}
	}
	left, _ := claims.get("hasgroups")
	return left.kind == kindBool && left.text == "true" && slices.Contains(r.topNames(), "groups")
}

// translate makes of their roles those that count: mapped are ours by Map, rest are
// the others, in their order. drop is told of each that does not count, and why,
// where the configuration does not say it.
func (r *roleRules) translate(theirs []string, drop func(finding, role string)) (mapped, rest []string) {
	from := map[string][]string{} // what is unmapped, by what it comes to
	for _, role := range theirs {
		ours, ok := r.Map[role]
		switch {
		case ok && ours != RolesDrop:
			mapped = append(mapped, ours)
		case ok, r.Unmapped == RolesDrop:
		case !names.IsForeign(role):
			drop(RolesUnreadable, role)
		case r.Unmapped != RolesSlug:
			rest = append(rest, role)
			from[role] = []string{role}
		case slug(role) == "":
			drop(RolesUnreadable, role)
		default:
			rest = append(rest, slug(role))
			from[slug(role)] = append(from[slug(role)], role)
		}
	}
	var clear []string
	for _, role := range unique(rest) {
		if _, named := r.Map[role]; r.given[role] || named {
			for _, theirs := range from[role] {
				drop(RolesAmbiguous, theirs)
			}
			continue
		}
		clear = append(clear, role)
	}
	return mapped, clear
}

// slug is a role in the spelling of ours, or "" where nothing is left of it, or too
// much: ASCII letters in lower case, a hyphen for whatever cannot stand there.
func slug(role string) string {
	var b strings.Builder
	for _, c := range role {
		switch {
		case 'A' <= c && c <= 'Z':
			b.WriteRune(c + 'a' - 'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_':
			b.WriteRune(c)
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	if s := strings.Trim(b.String(), "-._"); names.IsRole(s) {
		return s
	}
	return ""
}

// fitting parts roles, the ones that matter most first, into those that backends can
// be told of and those beyond.
func fitting(roles []string) (forwarded, beyond []string) {
	roles = unique(roles)
	used := 0
	for i, role := range roles {
		text, err := json.Marshal(role)
		if used += max(len(encodeRole(role)), len(text)) + 1; err != nil || used > MaxForwardedRoles {
			return sortedSet(roles[:i]), roles[i:]
		}
	}
	return sortedSet(roles), nil
}

// EncodeRoles spells roles in one header: each as PercentEncode does, commas too,
// with a comma between them.
func EncodeRoles(roles []string) string {
	encoded := make([]string, len(roles))
	for i, role := range roles {
		encoded[i] = encodeRole(role)
	}
	return strings.Join(encoded, ",")
}

func encodeRole(role string) string { return strings.ReplaceAll(PercentEncode(role), ",", "%2C") }

// unique is a list with each of its texts once, in the order in which they came.
func unique(list []string) []string {
	seen := make(map[string]bool, len(list))
	var once []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			once = append(once, s)
		}
	}
	return once
}
