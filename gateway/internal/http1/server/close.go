package server

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// close ends the connection in stages: nothing more is written, what still comes is read away, and then it is closed.
func (c *conn) close() {
	c.input.release()
	c.output.release()
	if c.ending != closed && c.ending != keepAlive {
		c.linger()
	}
	c.end()
}

// end closes the connection, unless it was taken over.
func (c *conn) end() {
	defer c.onEnd()
	if !c.taken {
		_ = c.rwc.Close() // there is nobody to tell
	}
}

// linger reads away what still comes.
func (c *conn) linger() {
	raw := c.rwc
	if secure, ok := raw.(*tls.Conn); ok {
		raw = secure.NetConn()
		if c.ending == closes && secure.CloseWrite() != nil {
			return
		}
	}
	if closeWrite(raw) != nil {
		return
	}
	end := time.Now().Add(lingerTime)
	buffer := inputBuffers.Get().(*[inputBuffer]byte)
	defer inputBuffers.Put(buffer)
	for left := lingerBytes; left > 0; {
		if c.awaitMore(end) != nil {
			return
		}
		n, err := raw.Read(buffer[:])
		if left -= n; err != nil {
			return
		}
	}
}

// awaitMore has the connection wait for more of what is read away, until end at most.
func (c *conn) awaitMore(end time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lingering = true
	next := end
	if silent := time.Now().Add(lingerSilence); silent.Before(end) && (!c.due || c.s.closing.Load()) {
		next = silent
	}
	return c.rwc.SetReadDeadline(next)
}

// closeWrite closes a connection for writing, whatever is around it.
func closeWrite(c net.Conn) error {
	for {
		switch inner := c.(type) {
		case interface{ CloseWrite() error }:
			return inner.CloseWrite()
		case interface{ Raw() net.Conn }: // of the PROXY protocol
			c = inner.Raw()
		default:
			return errors.ErrUnsupported
		}
	}
}
