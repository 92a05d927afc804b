package idp

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/policies/request"
)

// errNotAudited means that a login could not be recorded, and was taken back.
var errNotAudited = errors.New("the audit record could not be written")

// The reasons of failed logins.
const (
	failedPassword = "wrong-password"
	failedUnknown  = "unknown-user"
	failedDisabled = "disabled"
	failedLimited  = "rate-limited"
	failedBusy     = "busy"
	failedChanged  = "changed-meanwhile"
)

// event is a record of this request.
func (x *exchange) event(name, result string) *audit.Event {
	return &audit.Event{
		Version: audit.Version, Time: x.idp.o.Now().UTC(), Event: name, Result: result, Client: x.client, RequestID: x.requestID,
	}
}

// actorOf is the session that does something.
func actorOf(l activeSession) *audit.Actor {
	return &audit.Actor{Session: l.ID, User: l.account.Name, Subject: l.account.ID}
}

// auditLogin records the login that made a session, and whether it came from a browser that the account had not seen. Where it cannot be recorded the session is ended, and the login refused.
func (x *exchange) auditLogin(secret sessionSecret, newDevice bool) error {
	x.idp.logins.Add(1)
	if x.idp.o.Audit == nil {
		return nil
	}
	l, err := x.idp.directory.findSession(x.r.Context(), secret)
	if err != nil {
		return err
	}
	e := x.event(audit.EventLogin, audit.Success)
	e.User, e.Subject, e.Session = l.account.Name, l.account.ID, l.ID
	e.NewDevice = newDevice
	if err := x.idp.o.Audit.PutEvent(e); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", errNotAudited, err), x.idp.directory.revokeSessions(x.r.Context(), sessionEntry(l.ID, l.Expires)))
	}
	return nil
}

// auditReplaced records that a session's token had been replaced for somebody who has not the session's own cookie, and what was
// done about it.
func (x *exchange) auditReplaced(answer issued) {
	l := answer.session
	level, message := slog.LevelWarn, "a copy of the SSO cookie was used by somebody else; what the session had been issued is revoked"
	reason := "revoked: the token was replaced for " + cmp.Or(answer.replacedBy, "an unknown address")
	if answer.unused && answer.replacedBy == request.AddressText(x.client) {
		level, message = slog.LevelInfo, "an answer with a new token seems to have been lost; what the session had been issued is revoked"
		reason = "revoked: the token was replaced for the same address, and its successor was not used since: an answer may have been lost"
	}
	x.logAt(level, message,
		"user", l.account.Name, "subject", l.account.ID, "session", l.ID, "other_client", answer.replacedBy)
	if x.idp.o.Audit == nil {
		return
	}
	e := x.event(audit.EventSessionReplay, audit.Success)
	e.User, e.Subject, e.Session = l.account.Name, l.account.ID, l.ID
	e.Reason = reason
	x.idp.o.Audit.PutEventBestEffort(e)
}

// auditFailure records an attempt at a password that failed; actor is nil for a login. So many a minute are recorded, and the
// next record says how many were not; all are counted.
func (x *exchange) auditFailure(name string, actor *audit.Actor) {
	x.idp.failedLogins.Add(1)
	if x.idp.o.Audit == nil {
		return
	}
	ok, omitted := x.idp.failures.take(x.idp.o.Now())
	if !ok {
		return
	}
	e := x.event(name, audit.Failure)
	e.Reason, e.Omitted, e.Actor = x.failed.reason, omitted, actor
	e.User, e.Subject = x.failed.account.Name, x.failed.account.ID
	x.idp.o.Audit.PutEventBestEffort(e)
}

// auditChange records what somebody who is signed in did to the own account.
func (x *exchange) auditChange(name string, l activeSession) {
	if x.idp.o.Audit == nil {
		return
	}
	e := x.event(name, audit.Success)
	e.Actor, e.User, e.Subject = actorOf(l), l.account.Name, l.account.ID
	x.idp.o.Audit.PutEventBestEffort(e)
}

// auditEnded records that somebody who is signed in ended sessions of the own account from another, or that they could not be
// ended.
func (x *exchange) auditEnded(l activeSession, entries []revocation.Entry, err error) {
	if x.idp.o.Audit == nil {
		return
	}
	for _, ended := range entries {
		e := x.event(audit.EventLogout, audit.Success)
		if err != nil {
			e.Result, e.Reason = audit.Failure, err.Error()
		}
		e.Actor, e.User, e.Subject, e.Session = actorOf(l), l.account.Name, l.account.ID, ended.ID
		x.idp.o.Audit.PutEventBestEffort(e)
	}
}

// auditLogout records the end of the sessions, or that they could not be ended.
func (x *exchange) auditLogout(people []audit.Actor, err error) {
	if x.idp.o.Audit == nil {
		return
	}
	for _, who := range people {
		e := x.event(audit.EventLogout, audit.Success)
		if err != nil {
			e.Result, e.Reason = audit.Failure, err.Error()
		}
		e.Actor, e.User, e.Subject, e.Session = &who, who.User, who.Subject, who.Session
		x.idp.o.Audit.PutEventBestEffort(e)
	}
}
