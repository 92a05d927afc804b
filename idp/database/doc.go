// Package database opens the embedded database: one SQLite file, in which the identity provider keeps users, sessions and
// sealed signing keys, and a process without Redis its revocation list.
//
// It stands on floor 1, knows nothing of what its tables mean, and keeps three promises.
//
// What was acknowledged is there. The journal is a write-ahead log, synchronous is FULL: a commit returns after the log
// was flushed, and a kill at any moment loses nothing that returned.
//
// A loss is never silent. SQLite recovers from a log that was cut short by forgetting, without a word, what stood behind
// the cut. So every commit counts itself in the table ledger, and the count is then written into a file of its own, the
// high-water mark, before the commit is acknowledged (connector.go, mark.go). A database that counts fewer commits than
// its mark has lost some, and Open refuses it with an *Error that says how many; so it does with a database that is gone,
// damaged, or not the one that the mark is of. Nobody can write past the count: outside a counted transaction the
// connection can only read.
//
// One process at a time. The file is locked while it is open, in this process by a pool of one connection: SQLite has one
// writer anyway, and with one connection there is nothing to be busy about. Who reads rows therefore reads them to their
// end before asking the next question.
//
// Writes that come together may share a commit, which is two flushes however much it holds (group commit, groupcommit.go).
//
// Migrations are embedded and run by Open; they only ever go up.
package database
