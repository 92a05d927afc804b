package acmetest

import "testing"

// A World is an authority, a name server and Cloudflare's API.
type World struct {
	*Pebble
	Zones      *Zones
	Cloudflare *Cloudflare
}

// New starts a world in which the zones are served. The test's end takes it down.
func New(t testing.TB, o PebbleOptions, zones ...string) *World {
	t.Helper()
	z := NewZones(t, zones...)
	return &World{Pebble: NewPebble(t, z.Address, o), Zones: z, Cloudflare: NewCloudflare(t, z)}
}
