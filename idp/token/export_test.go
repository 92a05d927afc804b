package token

// What tests tell apart, and no caller does.
var (
	ErrExpired = errExpired
	ErrRevoked = errRevoked
	ErrInvalid = errInvalid
)
