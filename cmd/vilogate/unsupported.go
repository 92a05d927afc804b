package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// unsupportedCommand is a documented command that is not supported yet, with whatever follows it.
type unsupportedCommand struct {
	Arguments []string `arg:"" optional:"" help:"What it is to do."`
}

// Run refuses it.
func (c *unsupportedCommand) Run(command *kong.Context) error {
	name := strings.TrimPrefix(command.Selected().FullPath(), "vilogate ")
	if command.Selected().Parent.Type == kong.ApplicationNode && len(c.Arguments) > 0 && !strings.HasPrefix(c.Arguments[0], "-") {
		name += " " + c.Arguments[0]
	}
	return fmt.Errorf("%s is not supported yet", name)
}
