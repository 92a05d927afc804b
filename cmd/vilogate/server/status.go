package server

import (
	"os"
	"time"

	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/gateway/edge/acme"
)

// Status is the body of /status, and what `vilogate status` is answered: how the process is, for a person or a script. It holds no secret.
type Status struct {
	BuildInfo
	PID           int                `json:"pid"`
	Started       time.Time          `json:"started"`
	UptimeSeconds float64            `json:"uptime_seconds"`
	Status        string             `json:"status"` // ready, starting or draining
	Ready         map[string]bool    `json:"ready"`  // by part
	Missing       map[string]string  `json:"missing"`
	Trouble       map[string]string  `json:"trouble"`
	LoadedAt      time.Time          `json:"loaded_at"` // configuration and policies
	Hosts         []string           `json:"hosts"`
	Policies      string             `json:"policies,omitempty"`     // their hash, as audit records name them
	Certificate   *certificateStatus `json:"certificate,omitempty"`  // the first to end; not of an IdP alone
	Certificates  []acme.Status      `json:"certificates,omitempty"` // likewise
	Revocations   revocationsStatus  `json:"revocations"`

	// Upstreams are the addresses of all upstreams; not of an IdP alone.
	Upstreams []gateway.AddressStatus `json:"upstreams,omitempty"`
	// Loads are what is under way at each upstream, and Load at all of them; not of an IdP alone.
	Loads       []gateway.UpstreamLoad `json:"upstream_load,omitempty"`
	Load        *gateway.TotalLoad     `json:"load,omitempty"`
	Names       []gateway.NameStatus   `json:"names,omitempty"`       // in the addresses of upstreams
	Descriptors *Descriptors           `json:"descriptors,omitempty"` // likewise
}

type certificateStatus struct {
	NotAfter time.Time `json:"not_after"`
}

type revocationsStatus struct {
	Entries    int      `json:"entries"`
	LagSeconds *float64 `json:"lag_seconds"` // null before the first view
}

func (s *Server) status() Status {
	now, gen, ready, list := time.Now(), s.current.Load(), s.ready.response(), s.stores.List.Stats()
	answer := Status{
		BuildInfo: ReadBuildInfo(), PID: os.Getpid(), Started: s.started.UTC(), UptimeSeconds: now.Sub(s.started).Seconds(),
		Status: ready.Status, Missing: ready.Missing, Trouble: ready.Trouble, Ready: map[string]bool{}, LoadedAt: gen.Loaded.UTC(),
		Hosts: append([]string{}, gen.ServedHosts()...), Policies: gen.PoliciesID, Revocations: revocationsStatus{Entries: list.Entries},
	}
	for _, need := range s.ready.checks {
		_, missing := ready.Missing[need.name]
		answer.Ready[need.name] = !missing
	}
	if s.source != nil {
		answer.Certificate = &certificateStatus{s.source.NotAfter().UTC()}
		answer.Certificates = s.certificateStatus()
	}
	if s.gateway != nil {
		answer.Upstreams, answer.Loads, answer.Names = s.gateway.Addresses(), s.gateway.Loads(), s.gateway.Names()
		load := s.gateway.TotalLoad()
		answer.Load, answer.Descriptors = &load, &s.descriptors
	}
	if !list.LastSync.IsZero() {
		lag := now.Sub(list.LastSync).Seconds()
		answer.Revocations.LagSeconds = &lag
	}
	return answer
}
