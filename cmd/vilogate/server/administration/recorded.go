package administration

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/gateway/audit"
)

// Recorded is an action of which an audit record is kept, whatever comes of it: about says whom it is about. Without a log it
// is f.
func Recorded[In, Out any](log *audit.Log, event string, about func(In) audit.Event, f func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	if log == nil {
		return f
	}
	return func(ctx context.Context, in In) (out Out, err error) {
		e := about(in)
		e.Version, e.Time, e.Event, e.Actor = audit.Version, time.Now().UTC(), event, actor(ctx)
		if log.Stats().Failing { // what cannot be recorded is not begun, where that is the configuration's wish
			attempt := e
			attempt.Result = audit.Attempt
			if err := log.PutEvent(&attempt); err != nil {
				return out, fmt.Errorf("nothing was done, since it could not be recorded: %w", err)
			}
		}
		out, err = f(ctx, in)
		if e.Result = audit.Success; err != nil {
			e.Result, e.Reason = audit.Failure, err.Error()
		}
		if unrecorded := log.PutEvent(&e); unrecorded != nil && err == nil {
			return out, fmt.Errorf("it was done, and could not be recorded: %w", unrecorded)
		} else if unrecorded != nil {
			return out, errors.Join(err, unrecorded)
		}
		return out, err
	}
}

// actor is who asks through the control socket.
func actor(ctx context.Context) *audit.Actor {
	caller, ok := control.CallerOf(ctx)
	if !ok {
		return nil
	}
	a := &audit.Actor{UID: &caller.UID, PID: caller.PID}
	if caller.LoginUID >= 0 {
		a.LoginUID = &caller.LoginUID
	}
	if u, err := user.LookupId(strconv.Itoa(caller.UID)); err == nil {
		a.SystemUser = u.Username
	}
	return a
}

// NoUser is for an action that is about no user.
func NoUser[In any](In) audit.Event { return audit.Event{} }
