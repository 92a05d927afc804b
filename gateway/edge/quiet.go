package edge

import (
	"context"
	"log/slog"
	"strings"
)

// noiseFilter lowers Internet background noise to debug level: half-open
// connections, scanners, clients that do not trust the certificate.
type noiseFilter struct{ slog.Handler }

var noise = []string{"TLS handshake error", "http2: server: error reading preface", "http2: server connection error", "URL query contains semicolon"}

// Handle implements slog.Handler.
func (q noiseFilter) Handle(ctx context.Context, r slog.Record) error {
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
