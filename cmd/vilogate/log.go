package main

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// newLog writes text to a terminal, and JSON to anything else.
func newLog(to io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{ReplaceAttr: withUnit}
	if isTerminal(to) {
		return slog.New(slog.NewTextHandler(to, o))
	}
	return slog.New(slog.NewJSONHandler(to, o))
}

// withUnit has every duration carry its unit in its name: as a bare number it would be read as anything.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	ms := float64(a.Value.Duration()) / float64(time.Millisecond)
	return slog.Float64(strings.TrimSuffix(a.Key, "_ms")+"_ms", ms)
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
