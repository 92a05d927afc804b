package revocation

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"
)

// Kept is the log of a process that has Redis and a database: the identity provider of a fleet. Whatever it writes or hears of
// is in its database too, so that it can put back what Redis lost while no process ran that remembered it, and say so to the
// gateways that start. It is safe for concurrent use.
type Kept struct {
	redis *Redis
	table *SQL
	log   *slog.Logger
}

// Keep returns the log over Redis that keeps its entries in a database, too (see [OpenSQL]).
func Keep(redis *Redis, db *sql.DB) (*Kept, error) {
	table, err := OpenSQL(db)
	if err != nil {
		return nil, err
	}
	return &Kept{redis, table, redis.log}, nil
}

// Append returns nil once Redis and the database have acknowledged the entries.
func (k *Kept) Append(ctx context.Context, entries []Entry) error {
	if err := k.redis.Append(ctx, entries); err != nil {
		return err
	}
	return k.table.Append(ctx, entries)
}

// Follow follows Redis.
func (k *Kept) Follow(ctx context.Context, to Sink) error {
	s := &keeper{Sink: to, ctx: ctx, Kept: k}
	return k.redis.follow(ctx, s, func(ctx context.Context, life time.Duration) error {
		if !s.complete {
			return nil
		}
		return k.redis.markRestored(ctx, life)
	})
}

// A keeper is a sink that writes down what it is told. Its methods are called by one goroutine at a time.
type keeper struct {
	Sink
	*Kept
	ctx      context.Context // of Follow
	complete bool            // at the last load, Redis was told all that the database holds
}

func (k *keeper) Apply(entries []Entry, asOf time.Time) {
	k.Sink.Apply(entries, asOf)
	if len(entries) == 0 {
		return
	}
	lacking, err := k.table.lacking(k.ctx, entries, k.Now())
	k.keep(lacking, err)
}

// Reconcile hands on what Redis and the database hold, and returns what Redis lacks of it; the database is told what it lacks.
func (k *keeper) Reconcile(held []Entry, asOf time.Time) (lacking []Entry) {
	err := k.table.purge(k.ctx, k.Now())
	var kept []Entry
	if err == nil {
		kept, err = k.table.load(k.ctx)
	}
	k.complete = err == nil
	if err != nil {
		k.logFailure("reading the revocations from the database failed", err)
		return k.Sink.Reconcile(held, asOf)
	}
	now := k.Now()
	known := k.Sink.Reconcile(append(held[:len(held):len(held)], kept...), asOf)
	k.keep(missing(append(held[:len(held):len(held)], known...), kept, now), nil)
	return append(known, missing(kept, held, now)...)
}

// keep writes entries into the database, unless it could not even be asked about them. What could not be written is tried
// again at the next load.
func (k *keeper) keep(entries []Entry, err error) {
	if err == nil {
		err = k.table.appendAll(context.WithoutCancel(k.ctx), entries) // what was heard is written, whatever ends
	}
	if err != nil {
		k.logFailure("writing revocations into the database failed", err)
	}
}

func (k *keeper) logFailure(message string, err error) {
	if k.ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		k.log.Error(message, "error", err)
	}
}

// missing returns the entries that have not expired and that others do not include.
func missing(entries, others []Entry, now time.Time) (found []Entry) {
	merged := make(map[name]fact, len(others))
	for _, e := range others {
		f, err := e.fact()
		if err != nil {
			continue
		}
		if g, ok := merged[f.name]; ok {
			f = g.merge(f)
		}
		merged[f.name] = f
	}
	for _, e := range entries {
		f, err := e.fact()
		if g, ok := merged[f.name]; err == nil && f.expires > now.Unix() && (!ok || g.merge(f) != g) {
			found = append(found, e)
		}
	}
	return found
}
