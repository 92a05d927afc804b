package main

import (
	"errors"
	"fmt"

	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// reloadCommand has the running server read its files again.
type reloadCommand struct {
	target `embed:""`
}

// Run asks the server, and prints what changed or why nothing did.
func (c *reloadCommand) Run(w *commandEnv) error {
	r, err := call[server.Reloaded](w, c.target, "reload", control.Nothing{}, false)
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
