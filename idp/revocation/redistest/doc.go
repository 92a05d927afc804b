// Package redistest starts real Redis servers for tests, and only tests import it: what gateways tell each other through
// Redis is tested against Redis, not against an imitation.
//
//   - server.go: one redis-server, with what a test does to it: asking, killing, pausing, starting again.
//   - topology.go: the Sentinels of a master, and a Cluster of three nodes.
//
// Every server has a folder of its own and a loopback port that was free, keeps nothing on disk unless a test tells it to,
// and ends with the test, so that tests may run in parallel. The package needs redis-server and redis-sentinel on PATH.
package redistest
