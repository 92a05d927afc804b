package revocation

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// TestSentinelFailover: when the master dies, the lists go to the one that the Sentinels make master, which may have missed
// the newest entries; nothing is lost, and a list started afterwards refuses all of it.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master := redistest.New(t)
	replica := redistest.NewReplica(t, master)
	sentinels := redistest.NewSentinels(t, "fleet", master)
	open := func() *Redis {
		return openRedis(t, RedisOptions{Sentinel: Sentinel{Master: "fleet", Addresses: sentinels}})
	}
	one, _ := running(t, open(), Options{MaxStaleness: 30 * time.Second})
	two, _ := running(t, open(), Options{MaxStaleness: 30 * time.Second})
	publish(t, one, session("replicated"))
	eventually(t, "it is replicated", func() bool { return replica.Number("ZCARD", keyIndex) == 1 })
	// From here on the replica hears nothing, as if it lagged behind. (The Sentinels would mend that, but not so soon.)
	replica.Do("REPLICAOF", "127.0.0.1", "1")
	publish(t, one, session("unreplicated"))
	for _, l := range []*List{one, two} {
		eventually(t, "both know", func() bool { return l.SessionRevoked(ours, "unreplicated") })
	}
	master.Kill()
	for _, address := range sentinels {
		sentinel := redis.NewSentinelClient(&redis.Options{Addr: address, DialTimeout: waitTimeout, ReadTimeout: waitTimeout})
		// What lost its master more than ten times as long before that was down is not promoted.
		if err := sentinel.Set(t.Context(), "fleet", "down-after-milliseconds", "5000").Err(); err != nil {
			t.Fatal(err)
		}
		closing(t, sentinel)
	}
	eventually(t, "the replica is master and has everything", func() bool { return replica.Number("ZCARD", keyIndex) == 2 })
	third, _ := running(t, open(), Options{})
	if !third.SessionRevoked(ours, "replicated") || !third.SessionRevoked(ours, "unreplicated") {
		t.Error("a list started afterwards does not refuse")
	}
	eventually(t, "publishing works again", func() bool {
		return one.Publish(context.Background(), session("after")) == nil
	})
	for _, l := range []*List{two, third} {
		eventually(t, "it arrives", func() bool { return l.SessionRevoked(ours, "after") && !l.Stale(time.Now()) })
	}
}

// TestCluster: the keys live on one of three nodes, and it does not matter which are named.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := redistest.NewCluster(t)
	open := func(n *redistest.Server) *Redis { return openRedis(t, RedisOptions{Cluster: []string{n.Address}}) }
	one, _ := running(t, open(nodes[0]), Options{})
	two, _ := running(t, open(nodes[1]), Options{})
	for i := range 100 {
		id := fmt.Sprint(i)
		publish(t, one, session(id))
		eventually(t, "it arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
	for _, n := range nodes {
		n.Do("FLUSHALL")
	}
	eventually(t, "the index is filled again", func() bool {
		var held int64
		for _, n := range nodes {
			held += n.Number("DBSIZE")
		}
		return held == 2
	})
	third, _ := running(t, open(nodes[2]), Options{})
	if got := third.Stats().Entries; got != 100 {
		t.Errorf("a list started afterwards has %d entries", got)
	}
	keys := open(nodes[2])
	if err := open(nodes[0]).markRestored(t.Context(), time.Hour); err != nil {
		t.Error(err)
	}
	if restored, err := keys.isRestored(t.Context()); err != nil || !restored {
		t.Errorf("the mark of restored revocations: %v (%v)", restored, err)
	}
	if err := keys.PublishKey(context.Background(), []byte(`{"kid":"a"}`)); err != nil {
		t.Error(err)
	}
}
