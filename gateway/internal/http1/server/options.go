package server

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Limits bound what one client may use.
type Limits struct {
	HeaderBytes int           // of a request's head; 431 beyond, or 414 where the target alone is longer
	HeaderTime  time.Duration // in which it must arrive, from its first byte on
	IdleTime    time.Duration // without a request
	BodyMinRate int64         // bytes a second, while a body with a Content-Length is waited for; 0 for any
	BodyTime    time.Duration // in which nothing of such a body may arrive, or by which it may fall behind the rate
}

// Options are what a Server is made of.
type Options struct {
	Handler http.Handler
	// Refuse answers a request that cannot be served as it was sent: its status, and why, without a word of what was sent. Of
	// the request is there what is known; its Header is empty. Optional: the status alone is answered.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, reason string)
	// ConnContext is what the requests of a connection have in their context, and is to be called when it is closed, or speaks
	// HTTP no longer. Optional.
	ConnContext func(context.Context) (context.Context, func())
	Limits      Limits
	Log         *slog.Logger
}

// shared is what all connections of a server share.
type shared struct {
	opts     Options
	date     dateCache
	draining atomic.Bool // every answer ends its connection
	closing  atomic.Bool // a connection without a request ends
}

// logPanic logs the panic of a handler, unless that is its way to cut an answer off.
func (s *shared) logPanic(cause any, client string) {
	if cause != http.ErrAbortHandler {
		s.opts.Log.Error("panic in a handler", "client", client, "panic", cause, "stack", string(debug.Stack()))
	}
}

// dateCache is the Date of answers (RFC 9110, section 6.6.1), made once a second.
type dateCache struct{ last atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

func (d *dateCache) at(now time.Time) string {
	last := d.last.Load()
	if last == nil || last.second != now.Unix() {
		last = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		d.last.Store(last)
	}
	return last.text
}
