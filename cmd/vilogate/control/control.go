// Package control is how commands speak to a running server: JSON over HTTP on the socket control.sock of the state
// folder. Whoever may open the socket may do everything, so it has the mode 0600 in a folder of mode 0700. Both sides ask the
// kernel too who is at the other end (SO_PEERCRED): it is the same user, or root.
//
// It belongs to cmd/vilogate, which says what there is to do; this package only carries it.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

const (
	socketName = "control.sock"
	maxBody    = 1 << 20
	// maxPath is what fits everywhere into a socket's address.
	maxPath = 100
)

// Nothing is what is asked or answered where there is nothing to say.
type Nothing struct{}

// A Mux finds the action of a name.
type Mux struct{ actions http.ServeMux }

// Handle has f do what is asked for under name. In and Out travel as JSON.
func Handle[In, Out any](m *Mux, name string, f func(context.Context, In) (Out, error)) {
	m.actions.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&in); err != nil {
			writeResponse(w, http.StatusBadRequest, errorResponse{Message: "malformed request: " + err.Error()})
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			writeResponse(w, http.StatusUnprocessableEntity, newFailure(err))
			return
		}
		writeResponse(w, http.StatusOK, out)
	})
}

// errorResponse is an error as it is sent through the socket.
type errorResponse struct {
	Message string            `json:"error"`
	Places  strictyaml.Errors `json:"places,omitempty"`
}

func newFailure(err error) errorResponse {
	f := errorResponse{Message: err.Error()}
	errors.As(err, &f.Places) // they stay empty where there are none
	return f
}

func (f errorResponse) error() error {
	if len(f.Places) > 0 {
		return f.Places
	}
	return errors.New(f.Message)
}

func writeResponse(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return // the client has disconnected
	}
}

// Server answers on the socket of a state folder.
type Server struct {
	http     *http.Server
	socket   *net.UnixListener
	listener net.Listener
	path     string
	folder   *os.File
	owner    atomic.Bool // the socket's file is this server's to remove
	left     atomic.Bool // to another process
	paused   atomic.Bool
}

// Listen opens the socket in dir. The caller has the folder to itself, so that a socket found there is a dead one.
func Listen(dir string, m *Mux, log *slog.Logger) (*Server, error) {
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the control socket of an earlier process cannot be removed: %w", err)
	}
	address, folder, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{path: path, folder: folder}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err == nil {
		s.owner.Store(true)
		s.serve(listener, m, log)
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the control socket %s cannot be opened: %w", path, err), s.Close())
	}
	return s, nil
}

// Take makes a server of the socket that is open in dir, and of which another process has handed over its listener. That process
// answers until Serve.
func Take(dir string, listener *os.File, m *Mux, log *slog.Logger) (*Server, error) {
	l, err := net.FileListener(listener)
	if err := errors.Join(err, listener.Close()); err != nil {
		return nil, fmt.Errorf("the control socket that was handed over: %w", err)
	}
	socket, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(errors.New("the control socket that was handed over is another socket"), l.Close())
	}
	s := &Server{path: filepath.Join(dir, socketName)}
	s.serve(socket, m, log)
	return s, nil
}

// serve prepares the server of a listener.
func (s *Server) serve(listener *net.UnixListener, m *Mux, log *slog.Logger) {
	listener.SetUnlinkOnClose(false)
	s.socket, s.listener = listener, ownListener{listener, log}
	s.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.paused.Load() {
				writeResponse(w, http.StatusServiceUnavailable, errorResponse{Message: "another process is taking over"})
				return
			}
			m.actions.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		ConnContext: withCaller,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// Serve answers until Close, or until the socket is handed over.
func (s *Server) Serve() error {
	s.owner.Store(true)
	err := s.http.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) && s.paused.Load() {
		return nil
	}
	return err
}

// Listener is the socket, of which another process is to have a copy. It stays the server's.
func (s *Server) Listener() *net.UnixListener { return s.socket }

// Pause has whoever asks try again, until Resume: by then another process answers, or this one again.
func (s *Server) Pause() { s.paused.Store(true) }

// Resume takes Pause back.
func (s *Server) Resume() { s.paused.Store(false) }

// Leave leaves the socket to the process that has a copy, behind Pause. What is under way is answered, until Close, which removes
// the socket if nobody listens there any more.
func (s *Server) Leave() error {
	s.owner.Store(false)
	s.left.Store(true)
	return s.socket.Close()
}

// Close shuts down gracefully for a moment, and removes the socket.
func (s *Server) Close() error {
	var err error
	if s.owner.Swap(false) || s.left.Swap(false) && s.abandoned() {
		if err = os.Remove(s.path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, s.close())
}

func (s *Server) close() error {
	var err error
	if s.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err = s.http.Shutdown(ctx); err != nil {
			err = s.http.Close()
		}
	}
	if s.socket != nil {
		if e := s.socket.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	if s.folder != nil {
		err = errors.Join(err, s.folder.Close())
		s.folder = nil
	}
	return err
}

// abandoned reports whether nobody listens at the socket.
func (s *Server) abandoned() bool {
	conn, err := net.Dial("unix", s.socket.Addr().String())
	if err == nil {
		_ = conn.Close() // nothing was said
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// ErrUnreachable says that no server accepts connections at the socket.
var ErrUnreachable = errors.New("the server that has the state folder does not answer at its control socket")

// Client asks the server of a state folder.
type Client struct {
	http   *http.Client
	folder *os.File
}

// Dial makes a client of the server that has the folder dir.
func Dial(dir string) (*Client, error) {
	address, folder, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialOwn(ctx, address)
		},
		MaxIdleConns: 1,
	}
	return &Client{http: &http.Client{Transport: transport}, folder: folder}, nil
}

// Close ends the client's connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	if c.folder != nil {
		return c.folder.Close()
	}
	return nil
}

// Call has the server do what is called name with in, and reads its answer into out. ctx bounds how long that may take.
func (c *Client) Call(ctx context.Context, name string, in, out any) (err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://vilogate/"+name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return ErrUnreachable
	case err == nil && response.StatusCode == http.StatusServiceUnavailable:
		return errors.Join(ErrUnreachable, response.Body.Close())
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return errors.New("the server ended before it answered")
	case err != nil:
		return fmt.Errorf("calling the running server: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the running server's answer: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return json.Unmarshal(data, out)
	}
	var f errorResponse
	if err := json.Unmarshal(data, &f); err != nil || f.Message == "" {
		return fmt.Errorf("the running server does not know how to %q (%s); is it of another version?", name, response.Status)
	}
	return f.error()
}

// socketAddress is what to listen on and dial. A path too long for a socket's address is reached through the open folder,
// which has to stay open as long as the address is used.
func socketAddress(dir string) (string, *os.File, error) {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxPath {
		return path, nil, nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), socketName)
	if _, err := os.Stat(filepath.Dir(short)); err != nil {
		return "", nil, errors.Join(fmt.Errorf("state %s has too long a path for its control socket (%d bytes, at most %d)", dir, len(path), maxPath), folder.Close())
	}
	return short, folder, nil
}
