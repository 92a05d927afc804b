package policies

import "strings"

// An Outcome is what is to become of a request.
type Outcome uint8

// The outcomes.
const (
	Allow                Outcome = iota + 1
	Deny                         // 403
	Login                        // authentication required, and the request is anonymous: 302 or 401
	StepUp                       // a fresher or stronger login is needed
	MethodNotAllowed             // 405, with Decision.Allow
	BadRequest                   // 400: a spelling that the route does not permit, or a query or header that it cannot read
	NotFound                     // 404: no policy is for the host, or an own path that is none
	MethodNotImplemented         // 501: a method that the host does not know
)

// String is the outcome as tests name it, with the status where they have one word for several.
func (o Outcome) String() string {
	switch o {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Login:
		return "login"
	case StepUp:
		return "step-up"
	case MethodNotAllowed:
		return "deny (405 method not allowed)"
	case BadRequest:
		return "bad-request"
	case NotFound:
		return "deny (404 not found)"
	case MethodNotImplemented:
		return "deny (501 not implemented)"
	}
	return "none"
}

// Word is the outcome in one word, as tests expect and records have it: deny for all that is refused whoever asks.
func (o Outcome) Word() string {
	word, _, _ := strings.Cut(o.String(), " ")
	return word
}
