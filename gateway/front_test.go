package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/http1/server"
)

// serveHTTP1 serves the handler as the public listener does, without TLS, and returns its URL.
func serveHTTP1(t testing.TB, handler http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.Options{Handler: handler, Log: slog.New(slog.DiscardHandler), Limits: server.Limits{
		HeaderBytes: 64 << 10, HeaderTime: time.Minute, IdleTime: time.Minute, BodyMinRate: 1, BodyTime: time.Minute,
	}})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.ServeConn(context.Background(), conn, nil)
		}
	}()
	t.Cleanup(func() {
		if err := errors.Join(listener.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}
