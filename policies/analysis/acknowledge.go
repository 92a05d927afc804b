package analysis

import (
	"slices"

	"github.com/viloforge/vilogate/policies"
)

// acknowledge takes away the findings that a file acknowledges: on the route that one is about, or for the whole file. What
// is acknowledged and not there is a finding itself: it would hide the next one.
func (c *checker) acknowledge(h *policies.HostPolicy) {
	used := map[policies.Acknowledgement]bool{}
	c.findings = slices.DeleteFunc(c.findings, func(f Finding) bool {
		var of [][]policies.Acknowledgement
		if f.route != nil {
			of = append(of, f.route.Acknowledged)
		}
		for _, list := range append(of, h.Acknowledged) {
			for _, a := range list {
				if a.Kind == string(f.Kind) {
					used[a] = true
					return true
				}
			}
		}
		return false
	})
	report := func(list []policies.Acknowledgement, of string) {
		for _, a := range list {
			switch {
			case used[a]:
			case !slices.Contains(kinds, Kind(a.Kind)):
				c.add(a.Place, UnusedAcknowledgement, "there is no kind of warning %q to acknowledge; there are %s", a.Kind, kindsText())
			default:
				c.add(a.Place, UnusedAcknowledgement, "%s has no warning %s that is not acknowledged already", of, a.Kind)
			}
		}
	}
	report(h.Acknowledged, "the file")
	for _, r := range h.Routes() {
		report(r.Acknowledged, r.Pattern)
	}
}
