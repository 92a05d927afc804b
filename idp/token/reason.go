package token

import "errors"

// ReasonSignature is the Reason of a token that is well-formed and of a known
// key, and whose signature does not match.
const ReasonSignature = "signature"

// Reason is why a token was refused, in one of a few stable words for records
// and metrics; "" where err is nil. It tells nothing of the token itself.
func Reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrUnknownIssuer):
		return "unknown-issuer"
	case errors.Is(err, ErrTooManyKeys):
		return "too-many-keys"
	case errors.Is(err, ErrKeyPending):
		return "key-pending"
	case errors.Is(err, ErrKeysNotLoaded):
		return "keys-not-loaded"
	case errors.Is(err, errExpired):
		return "expired"
	case errors.Is(err, errRevoked):
		return "revoked"
	case errors.Is(err, errNotYet):
		return "not-yet-valid"
	case errors.Is(err, ErrUnknownKey), errors.Is(err, errKeyReplaced):
		return "unknown-key"
	case errors.Is(err, errSignature):
		return ReasonSignature
	case errors.Is(err, errAudience), errors.Is(err, errNoAudience), errors.Is(err, errNamesAudience):
		return "audience"
	case errors.Is(err, errClient), errors.Is(err, errNoClient):
		return "client"
	case errors.Is(err, errUser):
		return "not-a-user"
	}
	return "malformed"
}
