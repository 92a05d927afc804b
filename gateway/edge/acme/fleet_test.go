package acme_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/edge/acme/acmetest"
	"github.com/viloforge/vilogate/gateway/edge/certstore"
	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// A counter counts. Safe for concurrent use.
type counter struct{ n atomic.Int64 }

func (c *counter) add()       { c.n.Add(1) }
func (c *counter) count() int { return int(c.n.Load()) }

// member are the options of one gateway of a fleet, with a folder of its own.
func member(t *testing.T, w *acmetest.World, r *redistest.Server, dir string, s *served) acme.Options {
	t.Helper()
	o := options(t, w, dir, s)
	sealer, err := certstore.NewSealer([]byte("a secret of the whole fleet, 32 bytes or more"))
	if err != nil {
		t.Fatal(err)
	}
	o.Cache = certstore.Seal(o.Storage, sealer)
	o.Storage = certstore.Seal(certstore.NewRedis(r.Client(), r.Address), sealer)
	return o
}

// Gateways that start together obtain one certificate a name between them; what
// Redis forgets they give back; and while it is away they serve their copies.
func TestAFleetObtainsOnce(t *testing.T) {
	t.Parallel()
	w, r := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test"), redistest.New(t)
	dirs := []string{filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two"), filepath.Join(t.TempDir(), "three")}
	seen := make([]*served, len(dirs))
	managers := make([]*acme.Manager, len(dirs))
	stops := make([]func(), len(dirs))
	for i, dir := range dirs {
		seen[i] = &served{}
		managers[i], stops[i] = manage(t, member(t, w, r, dir, seen[i]))
	}
	for i, m := range managers {
		eventually(t, "every gateway has both certificates", func() bool { return m.Ready() == nil })
		for at, c := range seen[i].certificates() {
			if c.Leaf.SerialNumber.Cmp(seen[0].certificates()[at].Leaf.SerialNumber) != 0 {
				t.Errorf("gateway %d serves another certificate", i)
			}
		}
	}
	if w.Orders() != 2 || w.Accounts() != 1 {
		t.Errorf("%d orders and %d accounts, want 2 and 1", w.Orders(), w.Accounts())
	}
	r.Do("FLUSHALL")
	eventually(t, "Redis is given back what it forgot", func() bool {
		return strings.Count(redisKeys(t, r), "certificates/") == 2
	})
	// A renewal at one is served by all.
	if err := managers[1].Renew(t.Context(), "*.viloforge.test"); err != nil {
		t.Fatal(err)
	}
	for i := range managers {
		eventually(t, "every gateway serves the new certificate", func() bool {
			return seen[i].certificates()[1].Leaf.SerialNumber.Cmp(seen[1].certificates()[1].Leaf.SerialNumber) == 0
		})
	}
	for _, stop := range stops {
		stop()
	}
	if w.Orders() != 3 || w.Accounts() != 2 { // the account was forgotten, too
		t.Errorf("%d orders and %d accounts, want 3 and 2", w.Orders(), w.Accounts())
	}
	r.Kill()
	again := &served{}
	m, stop := manage(t, member(t, w, r, dirs[0], again))
	if m.Ready() != nil || len(again.certificates()) != 2 {
		t.Errorf("while Redis is away: %v", m.Ready())
	}
	eventually(t, "it says that Redis is away", func() bool { return strings.Contains(m.Status()[0].LastError, "redis") })
	stop()
	if said := again.log.String(); strings.Contains(said, "32 bytes or more") {
		t.Error("the secret is in the log")
	}
}

// A gateway that dies with the lock blocks the others for its lease.
func TestAHolderOfTheLockThatDies(t *testing.T) {
	t.Parallel()
	w, r := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test"), redistest.New(t)
	begun := time.Now()
	if got := r.Do("SET", "vilogate:{fleet}:certificates:lock:certificate viloforge.test", "dead", "PX", 3000); got != "OK" {
		t.Fatal(got)
	}
	o := member(t, w, r, filepath.Join(t.TempDir(), "state"), &served{})
	o.Names = o.Names[:1]
	m, stop := manage(t, o)
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	t.Logf("after %v", time.Since(begun))
	if time.Since(begun) < 3*time.Second {
		t.Error("the lock was not respected")
	}
	stop()
}

// redisKeys are the names of what Redis keeps of certificates.
func redisKeys(t *testing.T, r *redistest.Server) string {
	t.Helper()
	names, err := r.Client().HKeys(t.Context(), "vilogate:{fleet}:certificates").Result()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
