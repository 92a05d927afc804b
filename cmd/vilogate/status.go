package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/gateway"
)

// statusCommand tells what the running server says of itself, as /status of the admin listener does.
type statusCommand struct {
	target `embed:""`
	JSON   bool `help:"Print JSON."`
}

// Run asks the server.
func (c *statusCommand) Run(w *commandEnv) error {
	s, err := call[server.Status](w, c.target, "status", control.Nothing{}, false)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(w.stdout, s)
	}
	if _, err := fmt.Fprintf(w.stdout, "%s since %s, configuration of %s\n", s.Status, formatTime(s.Started), formatTime(s.LoadedAt)); err != nil {
		return err
	}
	for _, list := range []map[string]string{s.Missing, s.Trouble} {
		for _, part := range slices.Sorted(maps.Keys(list)) {
			if _, err := fmt.Fprintf(w.stdout, "%s: %s\n", part, list[part]); err != nil {
				return err
			}
		}
	}
	if len(s.Upstreams) == 0 {
		return nil
	}
	if err := c.printLoad(w, s); err != nil {
		return err
	}
	return printTable(w.stdout, "UPSTREAM\tADDRESS\tSTATE\tSINCE\tWEIGHT\tIN FLIGHT\tREASON", func(row func(...string)) {
		for _, a := range s.Upstreams {
			row(a.Upstream, a.Address, a.State, formatTime(a.Since), weightOf(a), strconv.Itoa(a.InFlight), a.Reason)
		}
	})
}

// printLoad tells what is under way, and what was refused because it was too much.
func (c *statusCommand) printLoad(w *commandEnv, s server.Status) error {
	if s.Load == nil || s.Descriptors == nil {
		return nil
	}
	if _, err := fmt.Fprintf(w.stdout, "%s\n%d requests under way at upstreams; refused: %d of one client with too many, %d because all together were too many\n",
		s.Descriptors, s.Load.InFlight, s.Load.RefusedClient, s.Load.RefusedAll); err != nil {
		return err
	}
	return printTable(w.stdout, "UPSTREAM\tUNDER WAY\tOF\tQUEUED\tREFUSED (QUEUE FULL)\tREFUSED (TIMEOUT)\tREFUSED (BREAKER)\tBREAKER", func(row func(...string)) {
		for _, l := range s.Loads {
			most := "any"
			if l.Concurrency > 0 {
				most = strconv.Itoa(l.Concurrency)
			}
			row(l.Upstream, strconv.Itoa(l.InFlight), most, strconv.Itoa(l.Queued), strconv.FormatUint(l.RefusedFull, 10), strconv.FormatUint(l.RefusedTimeout, 10), strconv.FormatUint(l.RefusedBreaker, 10), l.Breaker)
		}
	})
}

// weightOf tells an address's share of the requests.
func weightOf(a gateway.AddressStatus) string {
	switch {
	case a.Weight == 0:
		return "0 (drained)"
	case a.Share > 0:
		return fmt.Sprintf("%d (slow start, %d %%)", a.Weight, a.Share)
	}
	return strconv.Itoa(a.Weight)
}
