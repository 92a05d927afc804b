package main

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/policies"
)

// TestEveryFactOfAPersonIsRecorded: what policies can ask about somebody is read back from an audit record, or known not to be there.
func TestEveryFactOfAPersonIsRecorded(t *testing.T) {
	t.Parallel()
	elsewhere := []string{
		"Name",                // no policy asks for it
		"MFATime",             // no issuer says it
		"IssuedAt", "Expires", // Reads.TokenLifetime, which no record has
	}
	who := audit.Who{Credential: audit.ByBearer}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[audit.Who]()) {
		switch v := reflect.ValueOf(&who).Elem().FieldByIndex(f.Index); to := v.Addr().Interface().(type) {
		case *string:
			if *to == "" {
				*to = "x"
			}
		case *[]string:
			*to = []string{"x"}
		case *bool:
			*to = true
		case **time.Time:
			*to = &time.Time{}
			**to = time.Unix(1, 0)
		default:
			t.Fatalf("%s: %s is a type that no fact has had", f.Name, f.Type)
		}
	}
	id := recordedIdentity(&who, jsonClaims{})
	for _, f := range reflect.VisibleFields(reflect.TypeFor[policies.Identity]()) {
		if reflect.ValueOf(*id).FieldByIndex(f.Index).IsZero() && !slices.Contains(elsewhere, f.Name) {
			t.Errorf("policy replay does not know %s of anybody: it is a member of Who in gateway/audit/record.go, and recordedIdentity reads it", f.Name)
		}
	}
}
