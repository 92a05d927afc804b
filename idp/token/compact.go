package token

import (
	"encoding/base64"
	"errors"
	"strings"
)

// MaxLength is the longest token that is looked at unless a verifier is told
// otherwise. Anything longer is refused before a single byte of it is read.
const MaxLength = 16 << 10

// maxOwnLength is the longest token that can be of our own IdP, whose tokens fit a
// cookie ([MaxAccess]).
const maxOwnLength = 8 << 10

var (
	errTooLong  = errors.New("longer than the longest token that is looked at")
	errSegments = errors.New("not three segments")
	errBase64   = errors.New("not canonical base64url")
)

// parsedToken is a token cut up and read, with nothing about it believed yet. It is
// read this once: what the signature is checked over and what the claims are made
// of are pieces of the same reading.
type parsedToken struct {
	header    object
	payload   object
	input     string // the JWS signing input: header and payload as they came, with the dot between
	signature []byte

	permit func() error // asked before each signature; an error ends the verification. nil permits any number
}

// mayVerify asks whether another signature may be verified.
func (p parsedToken) mayVerify() error {
	if p.permit == nil {
		return nil
	}
	return p.permit()
}

// parseCompact reads a token in JWS compact serialisation (RFC 7515). Base64url is
// taken in one spelling alone: no padding, no line breaks, no stray bits behind
// the last byte, so that no token has a second text by way of its encoding.
func parseCompact(raw string) (parsedToken, error) {
	if strings.Count(raw, ".") != 2 {
		return parsedToken{}, errSegments
	}
	last := strings.LastIndexByte(raw, '.')
	c := parsedToken{input: raw[:last]}
	header, payload, _ := strings.Cut(c.input, ".")
	var err error
	if c.header, err = decodeObject(header); err != nil {
		return parsedToken{}, err
	}
	if c.payload, err = decodeObject(payload); err != nil {
		return parsedToken{}, err
	}
	if c.signature, err = decodeSegment(raw[last+1:]); err != nil {
		return parsedToken{}, err
	}
	return c, nil
}

func decodeObject(segment string) (object, error) {
	decoded, err := decodeSegment(segment)
	if err != nil {
		return nil, err
	}
	return readObject(string(decoded))
}

func decodeSegment(segment string) ([]byte, error) {
	// The decoder skips line breaks even when it is strict.
	if strings.ContainsAny(segment, "\r\n") {
		return nil, errBase64
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}

// lenientBase64 makes base64url of what a lenient decoder takes for it.
var lenientBase64 = strings.NewReplacer("+", "-", "/", "_", "=", "", " ", "", "\r", "", "\n", "")

// looksLikeJWT says of a token that split could not read whether it is a JWT all
// the same, however badly made or dressed up (".T", "T.."), or something that no
// issuer of ours makes: an opaque token, or an encrypted one (five segments, of which
// the first says enc: RFC 7516). It reads as leniently as the most lenient backend might.
func looksLikeJWT(raw string) bool {
	for first, rest, dotted := strings.Cut(raw, "."); ; first, rest, dotted = strings.Cut(rest, ".") {
		// What could be decoded before the first error is enough.
		decoded, _ := base64.RawURLEncoding.DecodeString(lenientBase64.Replace(first))
		text := strings.TrimLeft(string(decoded), " \t\r\n")
		isFirst := len(first)+1+len(rest) == len(raw)
		switch {
		case !strings.HasPrefix(text, "{"):
		case isFirst && dotted && !isEncrypted(raw, text), !isFirst && strings.Contains(text, `"alg"`):
			return true
		}
		if !dotted {
			return false
		}
	}
}

// isEncrypted reports whether raw, whose first segment has that text, is an encrypted token.
func isEncrypted(raw, header string) bool {
	if strings.Count(raw, ".") != 4 {
		return false
	}
	o, err := readObject(header)
	_, encrypted := o.get("enc")
	return err == nil && encrypted
}
