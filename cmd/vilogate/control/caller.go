package control

import "context"

// Caller is the process that asks, as the kernel knows it.
type Caller struct {
	UID int // whose it is
	PID int // 0 where the system does not tell
	// LoginUID is the user of the login session (audit loginuid), which sudo does not change; -1 where it is not set.
	LoginUID int
}

type callerKey struct{}

// CallerOf returns who asked for an action, by its context.
func CallerOf(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
