package main

import (
	"time"

	"github.com/viloforge/vilogate/gateway/edge/acme"
)

// statusAnswer is the body of /status: how the process is, for a person or a script. It holds no secret.
type statusAnswer struct {
	versionAnswer
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
}

type certificateStatus struct {
	NotAfter time.Time `json:"not_after"`
}

type revocationsStatus struct {
	Entries    int      `json:"entries"`
	LagSeconds *float64 `json:"lag_seconds"` // null before the first view
}

func (p *process) status() statusAnswer {
	now, gen, ready, list := time.Now(), p.current.Load(), p.ready.answer(), p.stores.list.Stats()
	answer := statusAnswer{
		versionAnswer: version(), Started: p.started.UTC(), UptimeSeconds: now.Sub(p.started).Seconds(),
		Status: ready.Status, Missing: ready.Missing, Trouble: ready.Trouble, Ready: map[string]bool{}, LoadedAt: gen.loaded.UTC(),
		Hosts: append([]string{}, gen.servedHosts()...), Policies: gen.policies, Revocations: revocationsStatus{Entries: list.Entries},
	}
	for _, need := range p.ready.needs {
		_, missing := ready.Missing[need.name]
		answer.Ready[need.name] = !missing
	}
	if p.source != nil {
		answer.Certificate = &certificateStatus{p.source.NotAfter().UTC()}
		answer.Certificates = p.certificateStatus()
	}
	if !list.Contact.IsZero() {
		lag := now.Sub(list.Contact).Seconds()
		answer.Revocations.LagSeconds = &lag
	}
	return answer
}
