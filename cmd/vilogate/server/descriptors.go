package server

import (
	"fmt"
	"runtime"
	"syscall"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
)

// Descriptors is how the files that a process may open, connections among them, are shared out: what clients and upstreams have
// takes none from what the process needs for itself, for the admin listener and for people who sign in.
type Descriptors struct {
	Limit           int `json:"limit"`            // RLIMIT_NOFILE
	Own             int `json:"own"`              // listeners, stores, logs, admin, health checks, keys and certificates that are fetched
	Clients         int `json:"clients"`          // connections of HTTPS
	Redirects       int `json:"redirects"`        // connections of plain HTTP
	Requests        int `json:"requests"`         // under way at upstreams, each with a connection
	IdleConnections int `json:"idle_connections"` // that are kept to upstreams
	OneClients      int `json:"one_clients"`      // connections to upstreams that are one client's (limits.connection_auth)
	ForwardAuth     int `json:"forward_auth"`     // connections of proxies that ask (forward_auth); 0 where none may
	LoginRequests   int `json:"login_requests"`   // under way at an identity provider in another process; 0 where there is none

	PerClient int `json:"per_client"` // of Requests: limits.client_requests, a quarter at most
}

// What a process needs for itself.
const (
	ownFiles    = 96  // listeners, the control socket, stores, logs, certificates and keys that are fetched
	adminFiles  = 32  // connections of the admin listener
	bufferFiles = 128 // that bodies are in (limits.buffer_disk)
	redisPerCPU = 10  // connections that the client of Redis keeps
	minRequests = 8
)

// AllocateDescriptors shares out what this process may open. Go has raised the soft limit to the hard one at its start.
func AllocateDescriptors(cfg *config.Config) Descriptors {
	const unknown = 1 << 20
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return allocate(unknown, cfg)
	}
	return allocate(int(min(files.Cur, unknown)), cfg)
}

// allocate shares so many files out: half of what the process leaves is for clients, and half for upstreams.
func allocate(limit int, cfg *config.Config) Descriptors {
	d, onDisk := Descriptors{Limit: limit, Own: ownFiles + adminFiles}, false
	if cfg.Redis != nil {
		d.Own += redisPerCPU * runtime.GOMAXPROCS(0)
	}
	for _, u := range cfg.Upstreams {
		if u.Buffer.Disk > 0 && !onDisk {
			d.Own, onDisk = d.Own+bufferFiles, true
		}
		if u.Health != nil {
			d.Own += len(u.Addresses())
		}
	}
	half := max(limit-d.Own, limit/4) / 2
	d.Redirects = max(half/8, 8)
	if cfg.ForwardAuth != nil {
		d.ForwardAuth = max(half/4, 8)
	}
	d.Clients = max(half-d.Redirects-d.ForwardAuth, 8)
	if cfg.Login != nil && cfg.Login.Upstream != "" {
		d.LoginRequests = min(max(half/8, 16), 256)
		half -= d.LoginRequests
	}
	d.IdleConnections, d.OneClients = max(half/4, 1), max(half/8, 1)
	d.Requests = max(half-d.IdleConnections-d.OneClients, minRequests)
	d.PerClient = min(cfg.Limits.ClientRequests, max(d.Requests/4, 1))
	return d
}

// String says it in one line.
func (d Descriptors) String() string {
	return fmt.Sprintf("%d open files (ulimit -n): %d connections of clients, %d requests at upstreams, %d of one client",
		d.Limit, d.Clients, d.Requests, d.PerClient)
}

// Warning says that the files are fewer than the configuration needs; "" where they are not.
func (d Descriptors) Warning(cfg *config.Config) string {
	if d.PerClient >= cfg.Limits.ClientRequests {
		return ""
	}
	return fmt.Sprintf("limits.client_requests is %d, and with %s; let it open more (LimitNOFILE= of systemd), or lower the limit",
		cfg.Limits.ClientRequests, d)
}
