package main

import (
	"context"
	"io"
)

// commandEnv is the environment of a command: context, variables and standard streams.
type commandEnv struct {
	ctx    context.Context
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
