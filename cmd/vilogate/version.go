package main

import (
	"encoding/json"
	"fmt"

	"github.com/viloforge/vilogate/cmd/vilogate/server"
)

// versionCommand prints what this binary is.
type versionCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run prints the version.
func (c *versionCommand) Run(w *commandEnv) error {
	v := server.ReadBuildInfo()
	if c.JSON {
		return printJSON(w.stdout, v)
	}
	_, err := fmt.Fprintf(w.stdout, "vilogate %s (%s, %s)\n", v.Version, v.Go, v.Platform)
	return err
}

func printJSON(to interface{ Write([]byte) (int, error) }, v any) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
