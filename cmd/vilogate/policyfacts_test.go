package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/policies"
)

// TestEveryFactOfAPersonIsKnown: what policies can ask about somebody is read back from an audit record by policy replay, and from the
// claims of a token by policy explain, or is known not to be there.
func TestEveryFactOfAPersonIsKnown(t *testing.T) {
	t.Parallel()
	who := audit.Who{Credential: audit.ByBearer}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[audit.Who]()) {
		switch to := reflect.ValueOf(&who).Elem().FieldByIndex(f.Index).Addr().Interface().(type) {
		case *string:
			if *to == "" {
				*to = "x"
			}
		case *[]string:
			*to = []string{"x"}
		case *bool:
			*to = true
		case **time.Time:
			*to = new(time.Time)
			**to = time.Unix(1, 0)
		default:
			t.Fatalf("%s is of a type that no member has had: %s", f.Name, f.Type)
		}
	}
	name := filepath.Join(t.TempDir(), "claims.json")
	claims := `{"sub": "x", "preferred_username": "x", "issuer": "x", "email": "x", "email_verified": true, "roles": ["x"], "amr": ["x"], "sid": "x", "auth_time": 1, "iat": 1, "exp": 2}`
	if err := os.WriteFile(name, []byte(claims), 0o600); err != nil {
		t.Fatal(err)
	}
	explained := policies.Identity{Bearer: true} // by a flag
	if err := readClaims(&explained, name, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[policies.Identity]()) {
		missing := func(id *policies.Identity, elsewhere ...string) bool {
			return reflect.ValueOf(*id).FieldByIndex(f.Index).IsZero() && !slices.Contains(elsewhere, f.Name)
		}
		// No policy asks for the name, and no issuer says MFATime; the times of the token are Reads.TokenLifetime.
		if missing(recordedIdentity(&who, jsonClaims{}), "Name", "MFATime", "IssuedAt", "Expires") {
			t.Errorf("policy replay knows %s of nobody: it is a member of Who in gateway/audit/record.go, and recordedIdentity reads it", f.Name)
		}
		if missing(&explained, "Name", "MFATime") {
			t.Errorf("policy explain knows %s of nobody: readClaims reads it, of the claims in this test", f.Name)
		}
	}
}
