package client

import (
	"fmt"
	"time"

	"golang.org/x/net/http2"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	h1 "github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// Request is what an upstream is asked.
type Request struct {
	Method, Authority string
	Path              string     // with its query, as it is to be sent
	Fields            field.List // with names in lower case, and none that is about a connection
	Bodiless          bool       // the answer has no body, whatever its header says (HEAD)
	Upload            *h1.Upload // nil: no body
	// HeaderTimeout is how long the answer's header may take when the request was sent, and until it has come, how long the
	// upstream may take none of the body; 0 for any time.
	HeaderTimeout time.Duration
	// Informational is told informational answers (1xx) but 100. Optional.
	Informational func(*http1.Head)
	// Fresh asks for a new connection.
	Fresh bool
}

// UnprocessedError says that the upstream has done nothing with a request, and will not (RFC 9113, section 8.7): any request may be
// sent again, as far as its body can be.
type UnprocessedError struct {
	Err error
	// Read is what was read of the body, which can be sent again where Whole says that it is all that was. It is the
	// caller's.
	Read  []byte
	Whole bool
}

func (e *UnprocessedError) Error() string { return e.Err.Error() }

func (e *UnprocessedError) Unwrap() error { return e.Err }

// ResetError says that the upstream has reset a stream.
type ResetError struct{ Code http2.ErrCode }

func (e *ResetError) Error() string {
	return fmt.Sprintf("client: the upstream has reset the stream: %v", e.Code)
}
