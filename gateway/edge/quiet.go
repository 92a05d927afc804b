package edge

import (
	"context"
	"log/slog"
	"strings"
)

// quiet lowers what the Internet does all day to debug: half-open connections,
// scanners, clients that do not like the certificate.
type quiet struct{ slog.Handler }

var noise = []string{"TLS handshake error", "http2: server: error reading preface", "http2: server connection error", "URL query contains semicolon"}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	for _, known := range noise {
		if strings.Contains(r.Message, known) {
			r.Level = slog.LevelDebug
			if !q.Enabled(ctx, r.Level) {
				return nil
			}
		}
	}
	return q.Handler.Handle(ctx, r)
}
