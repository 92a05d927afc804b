package identity_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/upstreams/identity"
)

// gateway signs assertions as a gateway does, and is where its keys are.
func gateway() (sign func(audience string) string, keys token.KeySource) {
	key, err := token.GenerateKey()
	if err != nil {
		panic(err)
	}
	return func(audience string) string {
		now := time.Now()
		signed, err := key.SignAssertion(token.Assertion{
			Issuer: "https://viloforge.com", Audience: audience, Subject: "u-1", User: "alice", Roles: []string{"member"},
			IssuedAt: now, Expires: now.Add(time.Minute),
		})
		if err != nil {
			panic(err)
		}
		return signed
	}, jwks.Static([]token.PublicKey{key.Public()})
}

// ask sends a request with an assertion, or with none.
func ask(h http.Handler, assertion string) {
	r := httptest.NewRequest(http.MethodGet, "/invoices", nil)
	if assertion != "" {
		r.Header.Set(identity.Header, assertion)
	}
	r.Header.Set("X-User", "root") // who reaches a backend by itself can write this
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
}

// In a program JWKS says where the gateways publish their keys, and Run keeps them current; Keys is for tests.
func Example() {
	sign, keys := gateway()
	kit, err := identity.New(identity.Config{Keys: keys, Issuer: "https://viloforge.com", Audience: "billing"})
	if err != nil {
		fmt.Println(err)
		return
	}
	invoices := kit.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := identity.From(r.Context()) // behind Require there is always somebody
		fmt.Fprintf(w, "invoices of %s, who is %s", who.ID, who.User)
	}))
	ask(invoices, sign("billing"))
	ask(invoices, sign("inventory")) // made for another backend
	// Output:
	// 200 invoices of u-1, who is alice
	// 401 {"type":"https://vilogate.dev/problems/unauthenticated","title":"A good assertion of the gateway is needed","status":401}
}

// Optional serves everybody, and only a good assertion makes somebody of them.
func ExampleKit_Optional() {
	sign, keys := gateway()
	kit, err := identity.New(identity.Config{Keys: keys, Issuer: "https://viloforge.com", Audience: "website"})
	if err != nil {
		fmt.Println(err)
		return
	}
	about := kit.Optional(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, known := identity.From(r.Context())
		fmt.Fprintf(w, "%t %s", known, who.User)
	}))
	ask(about, sign("website"))
	ask(about, "")
	// Output:
	// 200 true alice
	// 200 false
}
