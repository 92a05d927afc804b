package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// NewReplica starts a redis-server that follows another one, and returns once it is in step.
func NewReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	host, port := master.hostPort()
	s := New(t, "--replicaof", host, port)
	wait(t, "the replica is in step", func() bool {
		return strings.Contains(fmt.Sprint(s.Do("INFO", "replication")), "master_link_status:up")
	})
	return s
}

// NewSentinels starts three Sentinels that watch a master under a name, with more lines of configuration such as
// "requirepass word", and returns their addresses once they know each other and its replicas. However busy the machine is, they
// take nothing for down, until a test lowers down-after-milliseconds by SENTINEL SET; then two of them have to agree.
func NewSentinels(t testing.TB, name string, master *Server, lines ...string) []string {
	t.Helper()
	host, port := master.hostPort()
	replicas := strings.Count(fmt.Sprint(master.Do("INFO", "replication")), ",state=")
	addresses, sentinels := make([]string, 3), make([]*Server, 3)
	for i := range sentinels {
		s := &Server{t: t, program: "redis-sentinel", Dir: t.TempDir()}
		for _, line := range lines {
			if password, ok := strings.CutPrefix(line, "requirepass "); ok {
				s.password = password
			}
		}
		s.args = func(own string) []string {
			// A Sentinel keeps what it learns in its configuration.
			config := filepath.Join(s.Dir, "sentinel.conf")
			text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %[3]s %s %s 2\n"+
				"sentinel down-after-milliseconds %[3]s %[6]d\nsentinel failover-timeout %[3]s 5000\n", own, s.Dir, name, host, port, timeout.Milliseconds()) + strings.Join(lines, "\n") + "\n"
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{config}
		}
		s.begin()
		addresses[i], sentinels[i] = s.Address, s
	}
	for _, s := range sentinels {
		wait(t, "the Sentinels know each other and the replicas", func() bool {
			return strings.Contains(fmt.Sprint(s.Do("INFO", "sentinel")), fmt.Sprintf("slaves=%d,sentinels=3", replicas))
		})
	}
	return addresses
}

// NewCluster starts the three nodes of a Cluster, with more arguments, and returns once each knows that it is formed. However
// busy the machine is, none takes another for down.
func NewCluster(t testing.TB, args ...string) [3]*Server {
	t.Helper()
	var nodes [3]*Server
	nodeTimeout := strconv.FormatInt(timeout.Milliseconds(), 10)
	var buses [3]string // the ports on which the nodes speak to each other
	for i := range nodes {
		_, bus, err := net.SplitHostPort(freeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		buses[i] = bus
		nodes[i] = New(t, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", nodeTimeout, "--cluster-port", bus}, args...)...)
		nodes[i].Do("CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1)
		nodes[i].Do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	host, port := nodes[0].hostPort()
	for _, n := range nodes[1:] {
		n.Do("CLUSTER", "MEET", host, port, buses[0])
	}
	for _, n := range nodes {
		wait(t, "the cluster is formed", func() bool {
			text := fmt.Sprint(n.Do("CLUSTER", "INFO"))
			return strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_known_nodes:3")
		})
	}
	return nodes
}
