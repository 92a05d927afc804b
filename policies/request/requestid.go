package request

// maxRequestID is the longest request id that is kept.
const maxRequestID = 128

// IsRequestID reports whether s is a request id that is kept from a trusted proxy: [A-Za-z0-9._-]{1,128}.
func IsRequestID(s string) bool {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&unreserved == 0 || s[i] == '~' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= maxRequestID
}
