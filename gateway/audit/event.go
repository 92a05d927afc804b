package audit

import (
	"errors"
	"net/netip"
	"time"
)

// Event is what is remembered of something that was done and is no decision about a request: a sign-in or sign-out, or an
// administrator's action. It stands in the same files as a Record, and is told from it by its member event. The package's doc
// describes the members.
type Event struct {
	Version   int        `json:"v"`
	Time      time.Time  `json:"time"`
	Event     string     `json:"event"`
	Result    string     `json:"result"`
	Reason    string     `json:"reason,omitempty"`
	Actor     *Actor     `json:"actor,omitempty"`
	Client    netip.Addr `json:"client,omitzero"`
	RequestID string     `json:"request_id,omitempty"`
	User      string     `json:"user,omitempty"`
	Subject   string     `json:"subject,omitempty"`
	Session   string     `json:"session,omitempty"`
	Roles     []string   `json:"roles,omitempty"`
	NewDevice bool       `json:"new_device,omitempty"`
	Omitted   int        `json:"omitted,omitempty"`
}

// Actor is who did it: a user of the machine, or a session.
type Actor struct {
	UID        *int   `json:"uid,omitempty"`
	SystemUser string `json:"system_user,omitempty"`
	LoginUID   *int   `json:"login_uid,omitempty"`
	PID        int    `json:"pid,omitempty"`
	Session    string `json:"session,omitempty"`
	User       string `json:"user,omitempty"`
	Subject    string `json:"subject,omitempty"`
}

// What people do on the login host and at gateways, and what that ends.
const (
	EventLogin            = "login"
	EventLogout           = "logout"
	EventLogoutEverywhere = "logout.everywhere"
	EventPasswordChange   = "password.change"
	EventStreamEnd        = "stream.end"
)

// What is found out when access tokens are renewed.
const (
	// EventSessionReplay is of a token that another one had replaced: a failure is its refusal, a success that the session's own
	// browser was given a new one, and all earlier ones are revoked.
	EventSessionReplay = "session_replay"
	// EventSessionBehind is of a token that is later than any that the database knows: it has lost something.
	EventSessionBehind = "session_behind"
)

// The results of an Event.
const (
	Success = "success"
	Failure = "failure"
	// Attempt is of what is about to be done while the log could not be written a moment ago: without it nothing is done.
	Attempt = "attempt"
)

func (e *Event) check() error {
	if e.Time.IsZero() || e.Event == "" || e.Result != Success && e.Result != Failure && e.Result != Attempt {
		return errors.New("invalid record: of an event, time and event are never left out, and result is success, failure or attempt")
	}
	return nil
}

// PutEvent records an event as Put does a decision: the error says that what it is about must not stand.
func (l *Log) PutEvent(e *Event) error { return l.put(e) }

// PutEventBestEffort records an event as PutBestEffort does a decision.
func (l *Log) PutEventBestEffort(e *Event) { l.putBestEffort(e) }
