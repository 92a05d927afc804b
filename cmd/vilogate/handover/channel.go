package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// The two messages of a handover, a line each.
const (
	ready    = "ready\n"     // the new process: it accepts connections
	takeOver = "take over\n" // the old one: it does what one process alone may do no longer
)

// expired is a deadline that has passed.
var expired = time.Unix(1, 0)

// Predecessor is the process that hands over to this one.
type Predecessor struct{ conn net.Conn }

// ErrAbandoned says that the other process has ended, or goes on by itself.
var ErrAbandoned = errors.New("the process that has started this one does not hand over to it")

// Ready tells it that this process accepts connections, and waits until this process is to take over. The error is
// ErrAbandoned where it is not to, or that of ctx.
func (p *Predecessor) Ready(ctx context.Context) error {
	if _, err := io.WriteString(p.conn, ready); err != nil {
		return fmt.Errorf("%w: %w", ErrAbandoned, err)
	}
	return awaitLine(ctx, p.conn, takeOver, ErrAbandoned)
}

// Wait waits until it has given up the rest, or has ended. It is to be called after Ready. The error is that of ctx.
func (p *Predecessor) Wait(ctx context.Context) error {
	err := awaitLine(ctx, p.conn, "", nil)
	return errors.Join(err, p.conn.Close())
}

// awaitLine reads a line that has to be what is wanted. Where the connection ends before it, the error is ended; where ctx
// ends first, that of ctx.
func awaitLine(ctx context.Context, conn net.Conn, want string, ended error) error {
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetReadDeadline(expired) // where it fails, the read has ended
	})
	defer stop()
	line, err := bufio.NewReader(conn).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && line == want:
		return nil
	case err == nil:
		return fmt.Errorf("the other process of a handover said %q", line)
	}
	return ended
}

// closer closes once.
type closer struct {
	once sync.Once
	conn net.Conn
}

func (c *closer) close() {
	c.once.Do(func() {
		_ = c.conn.Close() // the other side may have gone
	})
}
