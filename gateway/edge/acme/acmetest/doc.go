// Package acmetest is the world around the getting of certificates, for tests: a
// real ACME server (Pebble, strict, with bad nonces), the DNS that it validates
// by, and a stand-in for Cloudflare's API that feeds that DNS.
//
//   - world.go: all of it together.
//   - pebble.go: the authority.
//   - zones.go: a name server.
//   - cloudflare.go: the API.
package acmetest
