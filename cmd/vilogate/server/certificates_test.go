package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// What is wrong with a certificate is said at the start, and every day until somebody replaces it.
func TestWarningsAreLoggedDaily(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		begun, said := time.Now(), []time.Duration{}
		ended := make(chan error, 1)
		go func() { ended <- daily(ctx, func() { said = append(said, time.Since(begun)) }) }()
		time.Sleep(49 * time.Hour) // of the bubble's clock
		stop()
		if err := <-ended; err != nil || len(said) != 3 || said[0] != 0 || said[2] != 48*time.Hour {
			t.Errorf("said after %v, %v", said, err)
		}
	})
}
