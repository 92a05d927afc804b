package main

import (
	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/policies"
)

type policySchemaCommand struct {
	Of string `arg:"" optional:"" enum:"policy,tests,config" default:"policy" help:"policy for policy files, tests for *_test.yaml, config for vilogate.yaml."`
}

// Run prints a JSON Schema, with which editors complete words and underline mistakes.
func (c *policySchemaCommand) Run(w *commandEnv) error {
	schema := policies.Schemas[c.Of]
	if c.Of == "config" {
		schema = config.Schema
	}
	_, err := w.stdout.Write(schema)
	return err
}
