package upstreams

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/net/websocket"
)

// What the echo takes and gives at most.
const (
	maxEchoBody  = 32 << 20
	maxEchoFrame = 1 << 20
	maxEvents    = 1000
	maxEvery     = 10 * time.Second
)

// echo is a request as the backend received it.
type echo struct {
	Method     string              `json:"method"`
	Target     string              `json:"target"` // the request line's, as received
	Host       string              `json:"host"`
	Headers    map[string][]string `json:"headers"` // names in lower case
	Trailers   map[string][]string `json:"trailers"`
	Body       string              `json:"body"`
	BodyBase64 string              `json:"body_base64,omitempty"` // instead of body where that is not UTF-8
}

// Echo answers every request with what it received. It asks nobody who they are
// and is for demonstration and tests only. Two paths answer otherwise:
//
//   - /sse sends `count` server-sent events (3), one `every` so often (100ms),
//     each flushed when it is written.
//   - /ws is a WebSocket that sends back each message that it gets.
func Echo() http.Handler {
	messages := websocket.Server{Handler: serveWebSocket}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path { // a mux would redirect odd paths, which the echo is asked about
		case "/sse":
			serveEvents(w, r)
		case "/ws":
			messages.ServeHTTP(w, r)
		default:
			serveEcho(w, r)
		}
	})
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEchoBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeProblem(w, r, http.StatusRequestEntityTooLarge, "The body is too large for the echo")
		return
	case err != nil:
		writeProblem(w, r, http.StatusBadRequest, "The body is truncated")
		return
	}
	answer := echo{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Headers: lowerCase(r.Header), Trailers: lowerCase(r.Trailer),
	}
	if utf8.Valid(body) {
		answer.Body = string(body)
	} else {
		answer.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}
	writeJSON(w, http.StatusOK, answer)
}

// serveEvents sends count server-sent events, or fewer when the client disconnects.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	count, every, err := parseEventParams(r)
	if err != nil {
		writeProblem(w, r, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flusher := http.NewResponseController(w)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := 1; ; i++ {
		if _, err := fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", i, i); err != nil {
			return
		}
		if err := flusher.Flush(); err != nil {
			return
		}
		if i == count {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}

func parseEventParams(r *http.Request) (count int, every time.Duration, err error) {
	count, every = 3, 100*time.Millisecond
	query := r.URL.Query()
	if s := query.Get("count"); s != "" {
		if count, err = strconv.Atoi(s); err != nil || count < 1 || count > maxEvents {
			return 0, 0, fmt.Errorf("count is a number from 1 to %d", maxEvents)
		}
	}
	if s := query.Get("every"); s != "" {
		if every, err = time.ParseDuration(s); err != nil || every <= 0 || every > maxEvery {
			return 0, 0, fmt.Errorf("every is a duration up to %s", maxEvery)
		}
	}
	return count, every, nil
}

// message is a WebSocket message with its type, text or binary.
type message struct {
	kind byte
	data []byte
}

// rawMessages is a codec that keeps the type of messages.
var rawMessages = websocket.Codec{
	Marshal: func(v any) ([]byte, byte, error) {
		m, ok := v.(message)
		if !ok {
			return nil, 0, websocket.ErrNotSupported
		}
		return m.data, m.kind, nil
	},
	Unmarshal: func(data []byte, kind byte, v any) error {
		m, ok := v.(*message)
		if !ok {
			return websocket.ErrNotSupported
		}
		*m = message{kind, data}
		return nil
	},
}

// serveWebSocket echoes each message, until either side closes.
func serveWebSocket(conn *websocket.Conn) {
	conn.MaxPayloadBytes = maxEchoFrame
	var m message
	for {
		if err := rawMessages.Receive(conn, &m); err != nil {
			break
		}
		if err := rawMessages.Send(conn, m); err != nil {
			break
		}
	}
	if err := conn.Close(); err != nil {
		return // the peer closed first
	}
}
