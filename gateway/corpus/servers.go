package corpus

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
)

// Server is a way to read a stream of requests: those that are whole, and what is behind them. The error says why the rest is no
// request: ErrCut where it may become one.
type Server struct {
	Name string
	Read func(stream string) (all []Request, rest string, err error)
}

// Servers are those that stand behind gateways.
func Servers() []Server {
	gunicorn := dialect{keepsLF: true, folds: true, spaces: " \t"}
	oldGunicorn := gunicorn // 20.0
	oldGunicorn.trimsNames, oldGunicorn.codingWins, oldGunicorn.webSocketKey, oldGunicorn.prefixedNumbers = true, true, true, true
	node := dialect{spaces: " \t"}
	insecureNode := dialect{spaces: " \t", bareLF: true, folds: true, trimsNames: true, codingWins: true, listsCodings: true, passesOverChunkEnd: true} // --insecure-http-parser
	nginx := dialect{bareLF: true, skipsBadLines: true, dropsUnderscores: true, spaces: " ", spacedTargets: true, http09: true, absoluteHost: true}
	worst := dialect{
		bareLF: true, bareCR: true, folds: true, trimsNames: true, foldsFraming: true, spaces: " \t\x00\x0b\x0c\x85\xa0", spacedTargets: true, http09: true, listsCodings: true, codingWins: true,
		lastLength: true, prefixedNumbers: true, numbersEnd: true, numbersOverflow: true, absoluteHost: true,
	}
	return []Server{
		{"net/http", readNetHTTP},
		{"gunicorn", gunicorn.read},
		{"gunicorn of old", oldGunicorn.read},
		{"node", node.read},
		{"node, insecure", insecureNode.read},
		{"nginx", nginx.read},
		{"all leniencies", worst.read},
	}
}

// readNetHTTP reads as net/http does.
func readNetHTTP(stream string) (all []Request, rest string, err error) {
	left := strings.NewReader(stream)
	reader := bufio.NewReader(left)
	for {
		if _, err := reader.Peek(1); err != nil {
			return all, "", nil
		}
		rest = stream[len(stream)-left.Len()-reader.Buffered():]
		r, err := http.ReadRequest(reader)
		if err != nil {
			return all, rest, cut(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return all, rest, cut(err)
		}
		request := Request{Method: r.Method, Target: r.RequestURI, Host: r.Host, Body: string(body)}
		request.Fields, request.Trailer = fieldsOf(r.Header), fieldsOf(r.Trailer)
		all = append(all, request)
	}
}

func fieldsOf(h http.Header) (all []Field) {
	for name, values := range h {
		for _, value := range values {
			all = append(all, Field{name, value})
		}
	}
	return all
}

// cut is ErrCut for a message that only ends too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.HasSuffix(err.Error(), "unexpected EOF reading trailer") {
		return errors.Join(ErrCut, err)
	}
	return errors.Join(ErrRefused, err)
}
