// Package server is the process: what `vilogate serve` and `vilogate dev` run. It is the only place that joins concrete
// types; every room below takes what it needs from here, and the commands above only say which server they want. It stands
// on floor 3. A server is a value: a test makes one, runs it, asks it to reload and ends it, without a command line.
//
// How it starts ([New], open.go; nothing is served before all of it went well):
//
//   - The configuration is loaded, and the ports are opened (listen.go), because people may see one that was picked.
//   - The first generation is built (package generation): all of the configuration and of the files that it names is judged
//     before anything else is opened. The policies, the issuers, the upstreams, the certificates' files and where a login may
//     return to are in it.
//   - What is kept is opened (internal/stores): the database, the revocation list, the keys of the state folder.
//   - The identity provider, then the gateway with certificates (certificates.go), rates, the audit log (audit.go) and the
//     keys that the fleet shares (assertionkeys.go), then the edge that takes connections.
//   - The control socket (package administration says what can be asked for), the admin listener (admin.go, readiness.go, status.go), and
//     what shows how all of it is (telemetry.go, internal/metrics).
//
// How it runs ([Server.Run], run.go): every part is a goroutine of one group, and one that fails ends them all. It writes
// down where it listens, and says `ready` when /readyz does: once whatever comes from elsewhere is there.
//
// How it reloads ([Server.Reload], reload.go), on SIGHUP, by the control socket or because a file changed (watch.go): the
// configuration is loaded again; a key that takes a restart must be as it was; the same builder that judged the start, and
// that `vilogate check` asks, builds the next generation; one store of a pointer puts it in force. Nothing after the builder
// can fail, and everything that serves reads that pointer: the gateway's requests, which keep what they began with, the
// edge's handshakes, the identity provider's addresses to return to, and the certificates from files. So a reload that is
// refused has changed nothing, and half of one cannot be seen. Certificates' files are data and not configuration: they also
// count when they change, with the rest of the generation as it is.
//
// How another process takes over ([Server.HandOver], handover.go, and takeOver in run.go): the new one is started with the
// listeners, makes all of the above, and runs its parts, but it serves nothing before it is ready, and leaves the control socket
// and what is written down in the state folder to the old one until that tells it to take over. The old one ends from there on.
// Where systemd holds the sockets they are taken from it (listen.go); systemd.go tells it how the process is.
//
// How it ends: when its context does, it is not ready any more but accepts for a while, so that load balancers notice; what
// is under way may finish; then everything is closed in the reverse of the order in which it was opened ([Server.Close]).
// Where another process has taken over, that one accepts, and the rest is the same.
package server
