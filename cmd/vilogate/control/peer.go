package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
)

// ownListener takes connections of this process's user and of root; any other is closed unread.
type ownListener struct {
	net.Listener
	log *slog.Logger
}

// Accept implements net.Listener.
func (l ownListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		err = checkPeer(conn)
		if err == nil {
			return conn, nil
		}
		l.log.Warn("a connection to the control socket is refused", "error", errors.Join(err, conn.Close()))
	}
}

// withCaller adds to the context of a connection's actions who is at its other end.
func withCaller(ctx context.Context, conn net.Conn) context.Context {
	c, err := peer(conn)
	if err != nil { // Accept has asked already
		return ctx
	}
	return context.WithValue(ctx, callerKey{}, c)
}

// dialOwn connects to a socket at which this process's user listens, or root: nobody else is told anything.
func dialOwn(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", address)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("the control socket %s is not the server's: %w", address, err), conn.Close())
	}
	return conn, nil
}

// checkPeer makes sure that the process at the other end is of this one's user, or root's.
func checkPeer(conn net.Conn) error {
	other, err := peer(conn)
	uid := other.UID
	switch {
	case err != nil:
		return fmt.Errorf("who is at the other end of the control socket is not known: %w", err)
	case uid != os.Geteuid() && uid != 0:
		return fmt.Errorf("at its other end is the user with the uid %d; it must be %d, whom the state folder belongs to, or root", uid, os.Geteuid())
	}
	return nil
}
