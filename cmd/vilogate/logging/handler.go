package logging

import (
	"context"
	"io"
	"log/slog"
	"sync"
)

// Handler is a [slog.Handler] of lines of JSON, from the level INFO. It is safe for concurrent use. Its goroutine ends with
// [Handler.Close].
type Handler struct {
	writer *writer
	begun  []byte   // the attributes of WithAttrs, in the groups that were opened before them
	open   int      // how many groups begun leaves open
	empty  []string // groups that were opened since: they stand in a line only if something is in them
}

// New begins to write to a stream.
func New(to io.Writer) *Handler { return &Handler{writer: newWriter(to)} }

// Dropped is how many lines were dropped, since the log could not be written in time.
func (h *Handler) Dropped() uint64 { return h.writer.dropped.Load() }

// Close writes what is left, and ends the goroutine.
func (h *Handler) Close() { h.writer.close() }

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

var lines = sync.Pool{New: func() any { return new([]byte) }}

// Handle implements slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	line := lines.Get().(*[]byte)
	b := appendHead((*line)[:0], r.Time, r.Level, r.Message)
	b = append(b, h.begun...)
	before := len(b)
	for _, name := range h.empty {
		b = append(appendKey(b, name), '{')
	}
	inside := len(b)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, a)
		return true
	})
	closing := h.open + len(h.empty)
	if len(b) == inside {
		b, closing = b[:before], h.open
	}
	for range closing {
		b = append(b, '}')
	}
	b = append(b, "}\n"...)
	h.writer.write(b, r.Level >= slog.LevelWarn)
	if cap(b) <= 16<<10 {
		*line = b
		lines.Put(line)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	b := append([]byte{}, h.begun...)
	for _, name := range h.empty {
		b = append(appendKey(b, name), '{')
	}
	inside := len(b)
	for _, a := range attrs {
		b = appendAttr(b, a)
	}
	if len(b) == inside {
		return h
	}
	return &Handler{writer: h.writer, begun: b, open: h.open + len(h.empty)}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &Handler{writer: h.writer, begun: h.begun, open: h.open, empty: append(append([]string{}, h.empty...), name)}
}
