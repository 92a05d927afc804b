// Package corpus makes what a hostile client of HTTP/1.1 may send: the families of request smuggling, inputs that other
// implementations are tested with, and mutations of all these; and it reads what a gateway forwards as servers behind it do, with
// their known leniencies.
//
// It stands on floor 0. Only tests import it. Files, from the lowest:
//
//   - families.go: parts of messages, by what they are after.
//   - known.go: whole messages that net/http and llhttp are tested with, and what has once broken a server.
//   - corpus.go: messages made of these, in an order that a seed gives.
//   - lines.go, dialect.go: how a server reads a stream of bytes, by the dialect that it understands.
//   - servers.go: net/http, gunicorn, node and nginx, and one that lets everything pass that any server ever did.
package corpus

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
)

// Corpus makes messages. It is owned by one goroutine.
type Corpus struct {
	random *rand.Rand
	fill   *strings.Replacer
	next   int // of the messages that no chance has a part in
	fields []string

	families [familyCount][]string
}

// New makes a corpus whose messages are for a host, and carry each of the fields now and then. What it makes follows from its
// arguments.
func New(seed uint64, host string, fields ...string) *Corpus {
	return &Corpus{
		random: rand.New(rand.NewPCG(seed, 0)), fields: fields, families: families(),
		fill: strings.NewReplacer("{host}", host, "{HOST}", strings.ToUpper(host)),
	}
}

// Next makes a message, or several on one connection: first each of those that are known, and then others for ever.
func (c *Corpus) Next() []byte {
	c.next++
	if c.next <= len(known) {
		return []byte(c.fill.Replace(known[c.next-1]))
	}
	at := c.next - 1 - len(known)
	for family, variants := range c.families {
		if at < len(variants) {
			m := plain()
			m[family] = variants[at]
			return c.finish(m)
		}
		at -= len(variants)
	}
	b := c.compose()
	for range c.random.IntN(3) {
		b = c.mutate(b)
	}
	return b
}

// Fixed is how many messages come first that are not made by chance.
func Fixed() int {
	n := len(known)
	for _, variants := range families() {
		n += len(variants)
	}
	return n
}

// parts are those of a message, by their family.
type parts [familyCount]string

// plain is a message that has nothing wrong with it.
func plain() parts {
	return parts{requestLine: "POST /public/x?q=1 HTTP/1.1", host: "Host: {host}", framing: "Content-Length: 5", body: "hello"}
}

// finish puts the parts together, with a request behind them that nobody else is to be taken for.
func (c *Corpus) finish(m parts) []byte {
	var b strings.Builder
	for _, line := range m[:body] {
		if line != "" && line != absent {
			b.WriteString(line + "\r\n")
		}
	}
	if c.random.IntN(4) == 0 && len(c.fields) > 0 {
		b.WriteString(c.fields[c.random.IntN(len(c.fields))] + "\r\n")
	}
	b.WriteString("\r\n" + m[body])
	if m[behind] == "" {
		m[behind] = smuggled
	}
	b.WriteString(m[behind])
	return []byte(c.fill.Replace(b.String()))
}

// compose makes a message of parts that stand beside each other by chance, or takes one that is known.
func (c *Corpus) compose() []byte {
	if c.random.IntN(4) == 0 {
		return []byte(c.fill.Replace(known[c.random.IntN(len(known))]))
	}
	m := plain()
	for family, variants := range c.families {
		if c.random.IntN(6) == 0 {
			m[family] = variants[c.random.IntN(len(variants))]
		}
	}
	if m[framing] != "" && c.random.IntN(2) == 0 { // a length or coding that fits, more often than chance has it
		m[framing], m[body] = fitting(m[body])
	}
	return c.finish(m)
}

// fitting is a framing that is true of a body.
func fitting(b string) (string, string) {
	if strings.HasSuffix(b, "\r\n\r\n") {
		return "Transfer-Encoding: chunked", b
	}
	return "Content-Length: " + decimal(len(b)), b
}

// mutate changes a message in one place or two.
func (c *Corpus) mutate(b []byte) []byte {
	if len(b) < 2 {
		return []byte(c.fill.Replace(known[0]))
	}
	at := c.random.IntN(len(b))
	to := min(at+1+c.random.IntN(12), len(b))
	switch c.random.IntN(9) {
	case 0: // a bit flips
		b[at] ^= 1 << c.random.IntN(8)
	case 1:
		b[at] = byte(c.random.IntN(256))
	case 2:
		b = slices.Delete(b, at, to)
	case 3: // a piece twice
		b = slices.Insert(b, at, bytes.Clone(b[at:to])...)
	case 4: // two messages spliced
		other := c.compose()
		b = append(b[:at:at], other[c.random.IntN(len(other)):]...)
	case 5:
		b = b[:at]
	case 6: // a line twice, or elsewhere
		if lines := bytes.SplitAfter(b, []byte("\n")); len(lines) > 2 {
			line := lines[c.random.IntN(len(lines))]
			b = bytes.Join(slices.Insert(lines, c.random.IntN(len(lines)), line), nil)
		}
	case 7: // a line ends otherwise
		if i := bytes.Index(b[at:], []byte("\r\n")); i >= 0 {
			end := lineEnds[c.random.IntN(len(lineEnds))]
			b = slices.Replace(b, at+i, at+i+2, []byte(end)...)
		}
	case 8:
		b = slices.Insert(b, at, []byte(c.fill.Replace(pieces[c.random.IntN(len(pieces))]))...)
	}
	return b
}
