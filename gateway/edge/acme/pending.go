package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
)

// pending is an order under way: what another process needs to go on with it.
type pending struct {
	Order string `json:"order"` // its URL
	Key   []byte `json:"key"`   // the certificate's, PEM
	TXT   []txt  `json:"txt"`   // records that may have been left behind
}

// txt is a TXT record by its full name, without the final dot.
type txt struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func pendingKey(issuer, name string) string {
	return "orders/" + keys.Safe(issuer) + "/" + keys.Safe(name) + ".json"
}

// failure is the last attempt, where it failed: known to the whole fleet, and to
// the process that comes after this one.
type failure struct {
	Count     int       `json:"count"` // in a row
	At        time.Time `json:"at"`
	NotBefore time.Time `json:"not_before"` // of the next attempt
	Patience  time.Time `json:"patience"`   // that the authority asked for; zero where it did not
	Text      string    `json:"text"`
}

func failureKey(issuer, name string) string {
	return "failures/" + keys.Safe(issuer) + "/" + keys.Safe(name) + ".json"
}

// read reads a JSON value from the storage; false where there is none.
func read(ctx context.Context, from certmagic.Storage, key string, into any) (bool, error) {
	data, err := from.Load(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading %s: %w", key, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("reading %s: %w", key, err)
	}
	return true, nil
}

func write(ctx context.Context, to certmagic.Storage, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := to.Store(ctx, key, data); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}
