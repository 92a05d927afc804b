package http3

import "time"

// Limits bound what one client may use.
type Limits struct {
	HeaderBytes  int           // of a request; 431 beyond
	HeaderTime   time.Duration // in which the handshake must arrive; a header has IdleTime, with its connection
	IdleTime     time.Duration // without a request
	Streams      int           // under way on one connection
	Connections  int           // in all; more are refused
	BodyMinRate  int64         // bytes a second, of a body whose length is known
	BodyTimeout  time.Duration // of such a body, without a byte
	WriteTimeout time.Duration // in which a client must take something of what it is sent
}
