// Package logging writes the log of a server: a JSON object a line, as [slog.JSONHandler] writes it, with one line for each
// request among them.
//
// That line must cost a request little and never hold it: it is formatted without reflection (json.go) and handed to one
// goroutine, which writes what has come together in one call (writer.go): a line after a while of silence at once, others 10
// ms behind the last write. Lines of the level WARN and above are waited for, so that what went wrong is on its way before the
// program goes on. Where the log cannot be written as fast as lines come, a line waits 100 ms for room among the last 1 MiB,
// and is dropped then; those behind it are at once, until something has been written again. How many were is counted, and said
// in the log once there is room, as are lines whose writing failed.
//
//   - handler.go is the [slog.Handler]: which lines, with which attributes.
//   - json.go appends a record's attributes as JSON.
//   - writer.go is the queue and the goroutine that writes.
package logging
