package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/viloforge/vilogate/cmd/vilogate/logging"
)

// processLog is the log of a command that serves.
type processLog struct {
	*slog.Logger
	dropped func() uint64 // lines that could not be written in time
	close   func()        // writes what is left
}

// newLog writes text to a terminal, and JSON to anything else.
func newLog(to io.Writer) processLog {
	if isTerminal(to) {
		return processLog{slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{ReplaceAttr: logging.WithUnit})), func() uint64 { return 0 }, func() {}}
	}
	handler := logging.New(to)
	return processLog{slog.New(handler), handler.Dropped, handler.Close}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
