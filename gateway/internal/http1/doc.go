// Package http1 is the grammar of HTTP/1.1 messages (RFC 9112): requests of clients, requests to backends, and their answers.
//
// It belongs to gateway, and is on floor 1. It does no I/O: it is given bytes and says what they are. Messages are lists
// of fields, in the order and the spelling in which they were received. It is strict: what could be read in two ways, or is
// longer than the bounds below, is an error. Files, from the lowest:
//
//   - section.go: the lines of a header or a trailer section, as lists of package field.
//   - head.go: the head of an answer, and how its body is framed.
//   - chunked.go: chunks (RFC 9112, section 7.1), and the fields behind the last one.
//   - request.go: the head of a request, written.
//   - requesthead.go: the head of a request, read.
//
// # What is refused of a request
//
// What is refused of an answer, and: a line that ends in a bare line feed, any folded line, a version other than HTTP/1.1 and HTTP/1.0
// (505), Content-Length twice or other than digits, Transfer-Encoding other than one "chunked", two Hosts, or none in HTTP/1.1, a target in
// absolute-form that names another host, an expectation other than 100-continue (417), more than MaxFields fields (431).
//
// # What is refused of an answer
//
// A version other than HTTP/1.0 and HTTP/1.1, a status below 100 or above 599 or not of three digits, a name that is no
// token or is followed by a space, a control character other than a tab in a value or a reason, a carriage return that ends
// no line, a folded first line, a Transfer-Encoding other than one "chunked", one beside a Content-Length or in HTTP/1.0,
// Content-Lengths that differ or are no numbers, chunk sizes of more than 16 digits, and chunks whose lines end in a bare
// line feed. Lines of the head may end in one (RFC 9112, section 2.2), and folded values are unfolded to spaces (section 5.2), since servers and
// scripts behind them do both.
package http1
