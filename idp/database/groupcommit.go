package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// maxGroup is how many writes share a commit: the first waits for the last of them.
const maxGroup = 64

// group is the writes that wait for the connection, to share a commit (group commit).
type group struct {
	mu      sync.Mutex
	waiting []*sharedWrite
	served  bool // by a goroutine, until none waits
}

// sharedWrite is one of them.
type sharedWrite struct {
	ctx  context.Context
	f    func(context.Context, *sql.Tx) error
	err  error         // once done is closed
	done chan struct{} // closed after the commit, or when there is none
}

// write has f share a commit with those that wait for the pool's one connection.
func (g *group) write(ctx context.Context, pool *sql.DB, f func(context.Context, *sql.Tx) error) error {
	w := &sharedWrite{ctx: context.WithoutCancel(ctx), f: f, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	if !g.served {
		g.served = true
		go g.serve(pool)
	}
	g.mu.Unlock()
	<-w.done
	return w.err
}

// serve commits until nobody waits.
func (g *group) serve(pool *sql.DB) {
	for g.anyWaiting() {
		tx, err := pool.BeginTx(context.Background(), nil) // more come while it waits for the connection
		writes := g.take()
		if err == nil {
			err = writeAll(tx, writes)
		}
		for _, w := range writes {
			if err != nil {
				w.err = fmt.Errorf("database: %w", err)
			}
			close(w.done)
		}
	}
}

// anyWaiting reports whether to go on: where it is false, the next to come is served anew.
func (g *group) anyWaiting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.served = len(g.waiting) > 0
	return g.served
}

func (g *group) take() (writes []*sharedWrite) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	writes, g.waiting = g.waiting[:n:n], g.waiting[n:]
	return writes
}

// writeAll does the writes and commits. Its error is of all of them; that of one alone is the write's own.
func writeAll(tx *sql.Tx, writes []*sharedWrite) error {
	wrote := false
	for _, w := range writes {
		if err := w.run(tx); err != nil {
			return errors.Join(err, rollback(tx))
		}
		wrote = wrote || w.err == nil
	}
	if !wrote {
		return rollback(tx)
	}
	return tx.Commit()
}

// run does the write within the transaction of all. Its own error undoes what it wrote; what run returns ends the transaction.
func (w *sharedWrite) run(tx *sql.Tx) error {
	if _, err := tx.ExecContext(w.ctx, "SAVEPOINT one"); err != nil {
		return err
	}
	end := "RELEASE one"
	if w.err = w.f(w.ctx, tx); w.err != nil {
		end = "ROLLBACK TO one; RELEASE one"
	}
	_, err := tx.ExecContext(w.ctx, end)
	return err
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}
