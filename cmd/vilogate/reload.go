package main

import (
	"errors"
	"fmt"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// reloadCommand has the running server read its files again.
type reloadCommand struct {
	target `embed:""`
}

// reloaded is what a reload changed, a line each.
type reloaded struct {
	Changes []string `json:"changes"`
}

// Run asks the server, and prints what changed or why nothing did.
func (c *reloadCommand) Run(w *world) error {
	r, err := ask[reloaded](w, c.target, "reload", nothing{}, false)
	if err != nil {
		separator := " "
		if errors.As(err, new(strictyaml.Errors)) {
			separator = "\n"
		}
		return fmt.Errorf("not reloaded, nothing has changed:%s%w", separator, err)
	}
	if len(r.Changes) == 0 {
		_, err := fmt.Fprintln(w.stdout, "reloaded: nothing had changed")
		return err
	}
	for _, change := range r.Changes {
		if _, err := fmt.Fprintln(w.stdout, change); err != nil {
			return err
		}
	}
	return nil
}
