package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// policySource is where policies are, and what they may name. Secrets are not needed for it.
type policySource struct {
	Config   string `short:"c" placeholder:"FILE" help:"The configuration, which has the names that policies use. Default: vilogate.yaml, where there is one."`
	Policies string `placeholder:"DIR" help:"A folder of policies in place of the configuration's; without a configuration, any names will do."`
}

// policySet is policies as they were read.
type policySet struct {
	dir     string
	files   []policies.File
	options policies.Options
	cfg     *config.Config // nil where there is none
}

// read reads the policies.
func (s policySource) read(w *commandEnv) (p policySet, err error) {
	file := s.Config
	if file == "" {
		if _, err := os.Stat("vilogate.yaml"); err == nil {
			file = "vilogate.yaml"
		} else if s.Policies == "" {
			return p, usageError{errors.New("there is no vilogate.yaml here; name the configuration with -c, or a folder of policies with --policies")}
		}
	}
	p.options.Standalone = file == ""
	if file != "" {
		p.cfg, err = config.Load(file, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile, NoSecrets: true})
		if err != nil {
			return p, err
		}
		if p.dir = p.cfg.Policies; p.dir == "" && s.Policies == "" {
			return p, fmt.Errorf("%s names no policies", file)
		}
		p.options = generation.PolicyOptions(p.cfg, generation.PublicPort(p.cfg, p.cfg.Listen.HTTPS.Port()))
	}
	if s.Policies != "" {
		p.dir = s.Policies
	}
	p.files, err = generation.ReadPolicies(p.dir)
	return p, err
}

// compile compiles the policies. Failed tests are no error here.
func (p policySet) compile() (*policies.Set, error) {
	set, _, err := policies.Test(p.files, p.options)
	return set, err
}

// jsonProblem is an error or a warning for programs.
type jsonProblem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func problemAt(at strictyaml.Place, kind, message string) jsonProblem {
	return jsonProblem{at.File, at.Line, at.Column, kind, message}
}

// String is the problem in one line, as editors take it.
func (p jsonProblem) String() string {
	at := strictyaml.Place{File: p.File, Line: p.Line, Column: p.Column}
	if p.File == "" {
		return p.Message
	}
	return at.String() + ": " + p.Message
}

// jsonClaims are the claims of a file.
type jsonClaims map[string]any

// Claim implements policies.Claims.
func (c jsonClaims) Claim(name string) (any, bool) {
	v, ok := c[name]
	return v, ok
}
