package extauthz

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// The statuses of gRPC that a response has.
const (
	ok               = 0
	permissionDenied = 7
)

// Allow is the CheckResponse that lets a request pass: with fields in place of any of their names, without those of the names in remove,
// and with what is added to the answer.
func Allow(set field.List, remove []string, answer field.List) []byte {
	var okResponse []byte
	var said []string
	for _, f := range set {
		okResponse = appendMessage(okResponse, 2, headerOption(f, contains(said, f.Name)))
		said = append(said, f.Name)
	}
	for _, name := range remove {
		okResponse = protowire.AppendTag(okResponse, 5, protowire.BytesType)
		okResponse = protowire.AppendString(okResponse, strings.ToLower(name))
	}
	for _, f := range answer {
		okResponse = appendMessage(okResponse, 6, headerOption(f, isAdded(f.Name)))
	}
	return appendMessage(status(ok), 3, okResponse)
}

// Deny is the CheckResponse that answers a request, which does not pass.
func Deny(code int, fields field.List, body []byte) []byte {
	var httpStatus []byte
	httpStatus = protowire.AppendTag(httpStatus, 1, protowire.VarintType)
	httpStatus = protowire.AppendVarint(httpStatus, uint64(code))
	denied := appendMessage(nil, 1, httpStatus)
	for _, f := range fields {
		denied = appendMessage(denied, 2, headerOption(f, isAdded(f.Name)))
	}
	if len(body) > 0 {
		denied = appendMessage(denied, 3, body)
	}
	return appendMessage(status(permissionDenied), 2, denied)
}

// isAdded reports whether a field of an answer stands beside others of its name.
func isAdded(name string) bool {
	return field.Same(name, "Set-Cookie") || field.Same(name, "Vary") || field.Same(name, "Cache-Control")
}

// status begins a CheckResponse with its google.rpc.Status.
func status(code uint64) []byte {
	var s []byte
	if code != 0 {
		s = protowire.AppendTag(s, 1, protowire.VarintType)
		s = protowire.AppendVarint(s, code)
	}
	return appendMessage(nil, 1, s)
}

// headerOption is a HeaderValueOption: its header, and whether it is added to those of the name (append) or takes their place. That is
// said by append alone, where it is added, and by append_action alone, where it is not: Envoys of different age read either, and
// refuse both.
func headerOption(f field.Field, added bool) []byte {
	const overwriteOrAdd = 2
	header := protowire.AppendTag(nil, 1, protowire.BytesType)
	header = protowire.AppendString(header, strings.ToLower(f.Name))
	header = protowire.AppendTag(header, 2, protowire.BytesType)
	header = protowire.AppendString(header, f.Value)
	option := appendMessage(nil, 1, header)
	if added {
		isTrue := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1) // a BoolValue
		return appendMessage(option, 2, isTrue)
	}
	option = protowire.AppendTag(option, 3, protowire.VarintType)
	return protowire.AppendVarint(option, overwriteOrAdd)
}

func appendMessage(b []byte, number protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), message)
}

func contains(names []string, name string) bool {
	for _, other := range names {
		if field.Same(other, name) {
			return true
		}
	}
	return false
}
