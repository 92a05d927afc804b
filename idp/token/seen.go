package token

import (
	"crypto/sha256"
	"encoding/hex"
)

// SeenCookie is the parameter of the login page's URL in which a gateway says which SSO cookie the browser sent that it
// redirects there, by its CookieDigest. It is not there where the browser sent none, or several that differ.
const SeenCookie = "seen_cookie"

// CookieDigest tells values of a cookie apart. It proves nothing.
func CookieDigest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:4])
}
