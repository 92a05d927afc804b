package streams

// A Cause is why a stream ends before its time.
type Cause uint8

// The causes. The zero Cause is none.
const (
	Revoked     Cause = iota + 1 // its token, session or subject was revoked
	SessionOver                  // its token has run out, and its session lives no longer or could not be asked about
	Policy                       // the policies in force would not admit it
	Drain                        // the process ends
)

// String names the cause as records and metrics do; "" for none.
func (c Cause) String() string {
	return [...]string{"", "revoked", "session_over", "policy", "drain"}[c]
}
