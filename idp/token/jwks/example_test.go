package jwks_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// The keys of another issuer are fetched by one goroutine; whoever verifies a token reads them from memory.
func ExampleRemote() {
	key, err := token.GenerateKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(token.MarshalSet([]token.PublicKey{key.Public()}))
	}))
	defer issuer.Close()

	keys, err := jwks.NewRemote(jwks.RemoteConfig{URL: issuer.URL, Client: issuer.Client(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = keys.Key(key.ID(), time.Now())
	fmt.Println(err)

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- keys.Run(ctx) }()
	for !keys.Ready() {
		<-time.After(time.Millisecond)
	}
	found, err := keys.Key(key.ID(), time.Now())
	fmt.Println(found.Equal(key.Public()), found.Algorithm(), err)
	stop()
	<-ended
	// Output:
	// token: the issuer's keys are not loaded yet
	// true ES256 <nil>
}
