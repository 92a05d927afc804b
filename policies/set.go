package policies

import (
	"maps"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// TLS is what a host asks of connections.
type TLS struct {
	MinVersion uint16           // as on the wire, 0x0303 for 1.2; 0 where the file says nothing
	ClientCA   string           // a file of CA certificates in PEM, as the policy names it; "" for none
	Place      strictyaml.Place // of ClientCA, else of the map
}

// A Set is all policies, compiled and tested. It is never written again, and safe for concurrent use.
type Set struct {
	publicPort int
	exact      map[string]*HostPolicy
	wildcard   map[string]*HostPolicy // by what follows "*."
	loginHost  string                 // which no policy is asked about
}

func newSet(o Options) *Set {
	return &Set{exact: map[string]*HostPolicy{}, wildcard: map[string]*HostPolicy{}, loginHost: o.LoginHost, publicPort: o.PublicPort}
}

// A HostPolicy is the policy of one host, or of all hosts that a pattern names.
type HostPolicy struct {
	Host     string // as the file names it, "*.preview.viloforge.com" too
	Upstream string
	Place    strictyaml.Place
	CORS     *CORS // nil where the file has none
	TLS      *TLS  // nil where the file asks for nothing

	// Acknowledged are kinds of warnings that are meant, in all of the file.
	Acknowledged []Acknowledgement

	// Shadow is the policy of this host as it would be were its routes with mode: shadow live: nil where there are none.
	Shadow *HostPolicy

	publicPort int
	paths      string // "", caseSensitive or caseInsensitive
	root       node
	routes     []*Route // in the order of the file, those of the shadow too
	extensions []string // methods of routes that not every host takes
	rules      map[string]*Condition
}

// Lookup is the policy of a host: that of its very name, else that of all names beside it; nil where there is none, and
// for the login host.
func (s *Set) Lookup(h request.Host) *HostPolicy {
	if string(h) == s.loginHost && h != "" {
		return nil
	}
	if p := s.exact[string(h)]; p != nil {
		return p
	}
	_, parent, _ := strings.Cut(string(h), ".")
	return s.wildcard[parent]
}

// Policy is the policy that stands under a name of Hosts; nil where there is none.
func (s *Set) Policy(name string) *HostPolicy {
	if parent, ok := strings.CutPrefix(name, "*."); ok {
		return s.wildcard[parent]
	}
	return s.exact[name]
}

// Hosts are the hosts that have a policy, as the files name them, sorted.
func (s *Set) Hosts() []string {
	hosts := slices.Collect(maps.Keys(s.exact))
	for parent := range s.wildcard {
		hosts = append(hosts, "*."+parent)
	}
	slices.Sort(hosts)
	return hosts
}

// FoldsCase reports whether paths are compared without regard to case.
func (h *HostPolicy) FoldsCase() bool { return h.paths == caseInsensitive }

// The values of paths:.
const (
	caseSensitive   = "case-sensitive"
	caseInsensitive = "case-insensitive"
)

// Paths is what the file says under paths:, or "".
func (h *HostPolicy) Paths() string { return h.paths }
