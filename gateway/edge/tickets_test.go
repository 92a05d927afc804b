package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"
)

// twoServers are two servers with one certificate and one store of ticket keys, as two
// gateways of a fleet.
func twoServers(t *testing.T, store TicketStore) (one, two *site) {
	t.Helper()
	ca := openCA(t, t.TempDir())
	change := func(o *Options) { o.Source, o.Tickets = ca, store }
	handler := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	one, two = start(t, handler, change), start(t, handler, change)
	one.roots, two.roots = rootsOf(t, ca.Path()), rootsOf(t, ca.Path())
	return one, two
}

// resumed asks the site for something, and reports whether the connection went on
// with an earlier session.
func (s *site) resumed(t *testing.T, sessions tls.ClientSessionCache, version uint16) bool {
	t.Helper()
	config := s.tls("http/1.1")
	config.ClientSessionCache, config.MinVersion, config.MaxVersion = sessions, version, version
	conn, err := tls.Dial("tcp", s.opts.HTTPS[0].Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	send(t, conn, "GET / HTTP/1.1\r\nHost: www."+domain+"\r\nConnection: close\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the tickets of TLS 1.3 come before it
		t.Fatal(err)
	}
	state := conn.ConnectionState()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return state.DidResume
}

func refresh(t *testing.T, sites ...*site) {
	t.Helper()
	for _, s := range sites {
		if err := s.tickets.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A client resumes at any gateway, before and after a change of the keys; not
// with a key of long ago, and not where a gateway has keys of its own.
func TestAClientResumesAtAnyGateway(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := twoServers(t, &localTickets{})
			now := time.Now()
			for _, s := range []*site{one, two} {
				s.tickets.now = func() time.Time { return now }
			}
			sessions := tls.NewLRUClientSessionCache(1)
			if one.resumed(t, sessions, version) {
				t.Error("the first connection is resumed")
			}
			if two.resumed(t, sessions, version) {
				t.Error("resumed before the keys were shared")
			}
			refresh(t, one, two)
			if one.resumed(t, sessions, version) {
				t.Error("resumed with a key that is gone")
			}
			if !two.resumed(t, sessions, version) {
				t.Error("not resumed at the other gateway")
			}
			now = now.Add(ticketRotation)
			refresh(t, one) // the other one is late
			if !one.resumed(t, sessions, version) {
				t.Error("not resumed after the keys have changed")
			}
			if !two.resumed(t, sessions, version) {
				t.Error("not resumed at a gateway that has not changed its keys yet")
			}
			refresh(t, two)
			now = now.Add(3 * ticketRotation)
			refresh(t, one, two)
			if two.resumed(t, sessions, version) {
				t.Error("resumed with a key of long ago")
			}
		})
	}
}

// unreachableTickets is a store that is away.
type unreachableTickets struct{}

func (unreachableTickets) TicketKey(context.Context, int64) ([32]byte, error) {
	return [32]byte{}, errors.New("the store is away")
}

// A store that is away leaves the keys as they are, and no key is all zeros.
func TestTicketKeysWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	keys, err := newTickets(&tls.Config{}, nil, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if keys.keys[0] == ([32]byte{}) {
		t.Error("the first key is all zeros")
	}
	before := keys.keys
	keys.store = unreachableTickets{}
	if err := keys.refresh(t.Context()); err == nil {
		t.Error("a store that is away is no error")
	}
	if len(keys.keys) != len(before) || keys.keys[0] != before[0] {
		t.Error("the keys have changed")
	}
}
