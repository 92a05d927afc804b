package request_test

import (
	"fmt"

	"github.com/viloforge/vilogate/policies/request"
)

// What is decided on and forwarded is one spelling; what could be read in two ways is refused.
func ExampleCanonicalise() {
	for _, target := range []string{"/caf%c3%a9/%7Ealice?page=2", "/public/%2e%2e/admin", "/public/%252e%252e/admin", "/a%2Fb"} {
		t, err := request.Canonicalise("GET", "Website.viloforge.com:443", target)
		if err != nil {
			fmt.Println("400:", err)
			continue
		}
		fmt.Printf("%s %s %q, needs permission: %t\n", t.Host, t.Path, t.Query, t.Path.Ambiguities() != 0)
	}
	// Output:
	// website.viloforge.com /caf%C3%A9/~alice "page=2", needs permission: false
	// 400: a dot segment in the path
	// 400: double encoding: decoding the path further yields a dot segment
	// website.viloforge.com /a%2Fb "", needs permission: true
}
