package main

import (
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/idp"
)

type keysCommands struct {
	List   keysListCommand    `cmd:"" help:"List the keys that sign logins."`
	Rotate unsupportedCommand `cmd:"" passthrough:"" help:"Replace the key that signs logins (not supported yet)."`
}

type keysListCommand struct {
	target `embed:""`
	JSON   bool `help:"Print JSON."`
}

func (c *keysListCommand) Run(w *commandEnv) error {
	keys, err := call[[]idp.Key](w, c.target, "keys/list", control.Nothing{}, true)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(w, keys)
	}
	return printTable(w.stdout, "ID\tALGORITHM\tCREATED", func(row func(...string)) {
		for _, k := range keys {
			row(k.ID, k.Algorithm, formatTime(k.Created))
		}
	})
}
