// Package streams knows which requests are under way for more than a moment, and by whose sign-in they were admitted, so
// that they end when that does. It belongs to gateway, and is on its floor; the clock and what is asked are handed in.
// Files, from the lowest:
//
//   - cause.go: why a stream ends before its time.
//   - owner.go: whose a stream is, and what holds it.
//   - entries.go: the streams that go on for long, by token, session and subject.
//   - stream.go: a request under way.
//   - young.go: those that began a moment ago, which nothing looks for.
//   - sessionchecks.go: which sessions are to be asked about, and when.
//   - index.go: all of them: how a stream comes, what a revocation ends, and how it goes.
//   - sessions.go: whether the sessions of streams live whose tokens have run out.
//   - run.go: the goroutine that does what is to be done.
//   - drain.go: the end of the process.
//
// # What it costs
//
// A request that is answered within a quarter of a second is put into a list and taken out again, and allocates
// nothing. One that goes on longer takes about 500 bytes until it ends: an entry of three lists, by token, session and subject
// (TestWhatAStreamCosts).
//
// # Nothing is lost
//
// A revocation is in the list before it is looked for here ([Index.Revoke]); a stream is here before the list is asked about
// it ([Index.Register]). So one of the two finds the other. With policies it is the same: the new ones are in force before
// [Index.Recheck] is called, and a stream that comes to the index is checked when it was admitted by others.
package streams
