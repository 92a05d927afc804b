package server

import (
	"maps"
	"slices"
	"strings"
)

// notifySystemd has systemd told how the process is, if this one is the service's.
func (s *Server) notifySystemd(tell func() error) {
	if !s.active.Load() || s.transfer.handedOver() {
		return
	}
	if err := tell(); err != nil {
		s.o.Log.Warn("systemd was not told how the process is", "error", err)
	}
}

// notifyReady tells systemd that the process serves, and whether something is missing.
func (s *Server) notifyReady() {
	s.notifySystemd(func() error {
		if missing := s.ready.missing(); len(missing) > 0 {
			return s.o.Notify.Ready("serving what is possible; not ready: " + strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
		}
		return s.o.Notify.Ready("ready")
	})
}

// isSocketActivated reports whether systemd holds the sockets, too, so that connections stay in the backlog while the process restarts.
func (s *Server) isSocketActivated() bool {
	return s.o.Inherited != nil && s.o.Inherited.SocketActivated
}
