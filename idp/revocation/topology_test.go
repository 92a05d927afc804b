package revocation

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSentinelFailover: when the master dies, the lists go to the one that the Sentinels make master, which may have missed
// the newest entries; nothing is lost, and a list started afterwards refuses all of it.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master := newServer(t)
	host, port, err := net.SplitHostPort(master.address)
	if err != nil {
		t.Fatal(err)
	}
	replica := newServer(t, "--replicaof", host, port)
	eventually(t, "the replica is in step", func() bool {
		return strings.Contains(fmt.Sprint(replica.do("INFO", "replication")), "master_link_status:up")
	})
	sentinels := newSentinels(t, master)
	open := func() *Redis {
		return openRedis(t, RedisOptions{Sentinel: Sentinel{Master: "fleet", Addresses: sentinels}})
	}
	one, _ := running(t, open(), Options{MaxStaleness: 30 * time.Second})
	two, _ := running(t, open(), Options{MaxStaleness: 30 * time.Second})
	publish(t, one, session("replicated"))
	eventually(t, "it is replicated", func() bool { return replica.number("ZCARD", keyIndex) == 1 })
	// From here on the replica hears nothing, as if it lagged behind. (The Sentinels would mend that, but not so soon.)
	replica.do("REPLICAOF", host, "1")
	publish(t, one, session("unreplicated"))
	for _, l := range []*List{one, two} {
		eventually(t, "both know", func() bool { return l.SessionRevoked(ours, "unreplicated") })
	}
	master.kill()
	eventually(t, "the replica is master and has everything", func() bool { return replica.number("ZCARD", keyIndex) == 2 })
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

// newSentinels starts three Sentinels that watch a master, and returns their addresses.
func newSentinels(t *testing.T, master *server) []string {
	t.Helper()
	addresses := make([]string, 3)
	var first *server
	for i := range addresses {
		s := &server{t: t, binary: "redis-sentinel", dir: t.TempDir()}
		s.startWith(func(port string) []string {
			// A Sentinel keeps what it learns in its configuration.
			config := filepath.Join(s.dir, "sentinel.conf")
			text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor fleet %s 2\n"+
				"sentinel down-after-milliseconds fleet 1000\nsentinel failover-timeout fleet 5000\n",
				port, s.dir, strings.ReplaceAll(master.address, ":", " "))
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{config}
		})
		addresses[i] = s.address
		if i == 0 {
			first = s
		}
	}
	eventually(t, "the Sentinels know each other and the replica", func() bool {
		text := fmt.Sprint(first.do("INFO", "sentinel"))
		return strings.Contains(text, "slaves=1,sentinels=3")
	})
	return addresses
}

// TestCluster: the keys live on one of three nodes, and it does not matter which are named.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := make([]*server, 3)
	for i := range nodes {
		nodes[i] = newServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", freePort(t))
		first, last := i*16384/3, (i+1)*16384/3-1
		nodes[i].do("CLUSTER", "ADDSLOTSRANGE", first, last)
		nodes[i].do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	for _, n := range nodes[1:] {
		host, port, err := net.SplitHostPort(nodes[0].address)
		if err != nil {
			t.Fatal(err)
		}
		n.do("CLUSTER", "MEET", host, port, bus(t, nodes[0]))
	}
	for _, n := range nodes {
		eventually(t, "the cluster is formed", func() bool {
			text := fmt.Sprint(n.do("CLUSTER", "INFO"))
			return strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:3")
		})
	}
	open := func(n *server) *Redis { return openRedis(t, RedisOptions{Cluster: []string{n.address}}) }
	one, _ := running(t, open(nodes[0]), Options{})
	two, _ := running(t, open(nodes[1]), Options{})
	for i := range 100 {
		id := fmt.Sprint(i)
		publish(t, one, session(id))
		eventually(t, "it arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
	for _, n := range nodes {
		n.do("FLUSHALL")
	}
	eventually(t, "the index is filled again", func() bool {
		var held int64
		for _, n := range nodes {
			held += n.number("DBSIZE")
		}
		return held == 2
	})
	third, _ := running(t, open(nodes[2]), Options{})
	if got := third.Stats().Entries; got != 100 {
		t.Errorf("a list started afterwards has %d entries", got)
	}
	keys := open(nodes[2])
	if err := keys.PublishKey(context.Background(), []byte(`{"kid":"a"}`)); err != nil {
		t.Error(err)
	}
}

// bus is the port on which a node speaks to the others.
func bus(t *testing.T, s *server) string {
	t.Helper()
	for i, arg := range s.args {
		if arg == "--cluster-port" {
			if _, err := strconv.Atoi(s.args[i+1]); err != nil {
				t.Fatal(err)
			}
			return s.args[i+1]
		}
	}
	t.Fatal("no node of a cluster")
	return ""
}
