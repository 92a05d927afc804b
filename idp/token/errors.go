package token

import (
	"errors"
	"fmt"
)

// What a verifier says of a token that a caller has to tell apart. Any other error
// says why a token that claims to be of a configured issuer is not good, without
// quoting it.
var (
	// ErrUnknownIssuer: no configured issuer could have made it.
	ErrUnknownIssuer = errors.New("token: unknown issuer")
	// ErrKeysNotLoaded: it may be good, but the issuer's keys are not there yet.
	ErrKeysNotLoaded = errors.New("token: the issuer's keys are not loaded yet")
	// ErrTooManyKeys: it may be good, but its sender may have no more keys tried now.
	ErrTooManyKeys = errors.New("token: it does not say which key signed it, and its sender has had too many tried")
	// ErrTooManyValues: a cookie has more values that could count than are verified.
	ErrTooManyValues = errors.New("token: more values of one cookie than are verified")
)

var (
	errExpired         = errors.New("token: expired")
	errRevoked         = errors.New("token: revoked")
	errInvalid         = errors.New("token: invalid")
	errMissing         = errors.New("is missing")
	errAfterIAT        = errors.New("lies after iat")
	errCaseVariant     = errors.New("is there in another letter case")
	errNotYet          = fmt.Errorf("%w: not valid yet", errInvalid)
	errKeyReplaced     = fmt.Errorf("%w: its key has been replaced", errInvalid)
	errAlgorithm       = fmt.Errorf("%w: alg does not match the key", errInvalid)
	errExtension       = fmt.Errorf("%w: unsupported header parameter", errInvalid)
	errWrongType       = fmt.Errorf("%w: the wrong typ", errInvalid)
	errForbiddenIssuer = fmt.Errorf("%w: an issuer that is never accepted", errInvalid)
	errAudience        = fmt.Errorf("%w: for another audience", errInvalid)
	errNoAudience      = fmt.Errorf("%w: no audience: aud is missing or empty", errInvalid)
	errNamesAudience   = fmt.Errorf("%w: for an audience, where the issuer's tokens have none", errInvalid)
	errNoClient        = fmt.Errorf("%w: no client: neither client_id nor azp is there", errInvalid)
	errClient          = fmt.Errorf("%w: of a client that is not among the client_ids", errInvalid)
	errOtherIssuer     = fmt.Errorf("%w: of another issuer", errInvalid)
	errSignature       = fmt.Errorf("%w: the signature does not match", errInvalid)
	errTimeOrder       = fmt.Errorf("%w: exp is not after iat or nbf", errInvalid)
	errRegistered      = fmt.Errorf("%w: a registered claim is missing", errInvalid)
	errRefresh         = fmt.Errorf("%w: a refresh token", errInvalid)
)
