// Package resolve keeps the addresses of names, and looks again whether they have changed.
//
// It belongs to gateway, and is on its floor. What uses the addresses is told that some have changed, by one goroutine that looks all
// names up. Files, from the lowest:
//
//   - lookup.go: asking a resolver, the system's or another one, and which of its answers can be used.
//   - names.go: what is known of names.
//   - run.go: looking them up, each once in its interval.
//
// # Intervals
//
// A name is looked up once in an interval, and not when the time to live (TTL) of its records ends. Go's resolver, which knows hosts
// files, search domains and truncated answers, does not tell it; and it is often no use: Docker says 600 s for containers that are
// replaced at once, Consul 0.
//
// # Failures
//
// A name keeps its last addresses while it cannot be looked up, also where the resolver says that it does not exist: a name that has
// gone for good is rarer than a resolver, or a registry behind it, that has lost it for a while, and requests to addresses that are
// gone fail in any case.
package resolve
