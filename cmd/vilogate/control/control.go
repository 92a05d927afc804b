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
	listener net.Listener
	path     string
	folder   *os.File
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
	listener, err := net.Listen("unix", address)
	if err == nil {
		s.listener = ownListener{listener, log}
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the control socket %s cannot be opened: %w", path, err), s.Close())
	}
	s.http = &http.Server{
		Handler: &m.actions, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		ConnContext: withCaller,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Serve answers until Close.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close shuts down gracefully for a moment, and removes the socket.
func (s *Server) Close() error {
	var err error
	switch {
	case s.http != nil:
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err = s.http.Shutdown(ctx); err != nil {
			err = s.http.Close()
		}
	case s.listener != nil:
		err = s.listener.Close()
	}
	if s.folder != nil {
		err = errors.Join(err, s.folder.Close())
	}
	return err
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
