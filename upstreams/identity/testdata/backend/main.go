// Command backend is a backend of somebody else: a module of its own that takes the kit from a release of vilogate.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/viloforge/vilogate/upstreams/identity"
)

func main() {
	kit, err := identity.New(identity.Config{
		JWKS: "http://127.0.0.1:9901/.well-known/vilogate/jwks.json", Issuer: "https://viloforge.com", Audience: "notes",
	})
	if err != nil {
		log.Fatal(err)
	}
	go kit.Run(context.Background())
	log.Fatal(http.ListenAndServe("127.0.0.1:8001", notes(kit)))
}

func notes(kit *identity.Kit) http.Handler {
	return kit.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := identity.From(r.Context())
		fmt.Fprintf(w, "notes of %s (%s)\n", who.User, who.ID)
	}))
}
