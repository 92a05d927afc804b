package control

import "context"

// Caller is the process that asks, as the kernel knows it.
type Caller struct {
	UID int // whose it is
	PID int // 0 where the system does not tell
	// LoginUID is who logged in to the machine, whatever the process became since (sudo); -1 where nobody is known to have.
	LoginUID int
}

type callerKey struct{}

// CallerOf returns who asked for an action, by its context.
func CallerOf(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
