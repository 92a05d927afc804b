package revocation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

const (
	dataPassword     = "password-of-the-data"
	sentinelPassword = "password-of-sentinels"
)

// TestWhatIsWrongWithRedisIsSaid: each way in which a server and the configuration do not fit is said in words that name
// the key that mends it, and no error quotes a password.
func TestWhatIsWrongWithRedisIsSaid(t *testing.T) {
	t.Parallel()
	open := redistest.New(t)
	closed := redistest.New(t, "--requirepass", dataPassword)
	replica := redistest.NewReplica(t, open)
	secure, ca := secureServer(t)
	cluster := redistest.NewCluster(t)
	protected := protectedAddress(t)
	sentinels := redistest.NewSentinels(t, "fleet", open)
	guarded := redistest.NewSentinels(t, "fleet", redistest.New(t), "requirepass "+sentinelPassword)
	named := Sentinel{Master: "fleet", Addresses: guarded}
	named.Password = dataPassword
	for what, c := range map[string]struct {
		o    RedisOptions
		says string
	}{
		"no password":            {RedisOptions{URL: closed.URL()}, "redis.password"},
		"no password, database":  {RedisOptions{URL: "redis://" + closed.Address + "/1"}, "redis.password"},
		"wrong password":         {RedisOptions{URL: closed.URL(), Password: "wrong"}, "refuses the user or the password: redis.user and redis.password"},
		"protected mode":         {RedisOptions{URL: "redis://" + protected}, "protected mode"},
		"protected mode, in TLS": {RedisOptions{URL: "rediss://" + protected}, "protected mode"},
		"TLS in plain":           {RedisOptions{URL: secure.URL()}, "redis.tls: true"},
		"plain in TLS":           {RedisOptions{URL: open.URL(), TLS: true, Timeout: replyTimeout}, "does not speak TLS at this port"},
		"unknown authority":      {RedisOptions{URL: "rediss://" + secure.Address}, "redis.ca"},
		"another name":           {RedisOptions{URL: strings.Replace("rediss://"+secure.Address, "127.0.0.1", "localhost", 1), CAPEM: ca}, "other names"},
		"a replica":              {RedisOptions{URL: replica.URL()}, "is a replica and takes no writes"},
		"a node of a cluster":    {RedisOptions{URL: cluster[0].URL()}, "redis.cluster"},
		"no cluster":             {RedisOptions{Cluster: []string{open.Address}}, "redis.url"},
		"another master":         {RedisOptions{Sentinel: Sentinel{Master: "flee", Addresses: sentinels}}, `no Sentinel knows a master of the name "flee": redis.sentinel.master`},
		"Sentinels' password":    {RedisOptions{Sentinel: Sentinel{Master: "fleet", Addresses: guarded}}, "redis.sentinel.password"},
		"Sentinels refuse":       {RedisOptions{Sentinel: named}, "the Sentinels refuse the user or the password"},
		"no Sentinel":            {RedisOptions{Sentinel: Sentinel{Master: "fleet", Addresses: []string{open.Address}}}, "it is no Sentinel"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := openRedis(t, c.o)
			err := r.Append(context.Background(), []Entry{session("s")})
			if what == "a node of a cluster" { // of three, one has the slot
				for _, n := range cluster {
					if err == nil {
						err = openRedis(t, RedisOptions{URL: n.URL()}).Append(context.Background(), []Entry{session("s")})
					}
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), dataPassword) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAPasswordIsInNoError: a server that does not know AUTH quotes what it was told.
func TestAPasswordIsInNoError(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, l) })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				for b := make([]byte, 1024); ; {
					if _, err := conn.Read(b); err != nil {
						return
					}
					_, _ = io.WriteString(conn, "-ERR unknown command 'AUTH', with args beginning with: '"+dataPassword+"'\r\n")
				}
			}()
		}
	}()
	r := openRedis(t, RedisOptions{URL: "redis://" + l.Addr().String(), Password: dataPassword})
	err = r.Append(context.Background(), []Entry{session("s")})
	if err == nil || strings.Contains(err.Error(), dataPassword) || !strings.Contains(err.Error(), "***") || !redis.HasErrorPrefix(err, "unknown command") {
		t.Errorf("%v", err)
	}
}

// TestUsersPasswordsAndTLS: a single server, Sentinels and a Cluster are reached with all three.
func TestUsersPasswordsAndTLS(t *testing.T) {
	t.Parallel()
	secure, ca := secureServer(t, "--requirepass", "another")
	secure.Do("ACL", "SETUSER", "gateway", "on", ">"+dataPassword, "~vilogate:{fleet}:*", "+@read", "+@write", "+@scripting", "+@transaction", "+@connection", "+time")
	master := redistest.New(t, "--requirepass", dataPassword)
	sentinels := redistest.NewSentinels(t, "fleet", master, "requirepass "+sentinelPassword, "sentinel auth-pass fleet "+dataPassword)
	cluster := redistest.NewCluster(t)
	for _, n := range cluster {
		n.Do("ACL", "SETUSER", "gateway", "on", ">"+dataPassword, "~*", "+@all")
	}
	for what, o := range map[string]RedisOptions{
		"single":   {URL: "redis://" + secure.Address, User: "gateway", Password: dataPassword, TLS: true, CAPEM: ca},
		"sentinel": {Sentinel: Sentinel{Master: "fleet", Addresses: sentinels, Password: sentinelPassword}, Password: dataPassword},
		"cluster":  {Cluster: []string{cluster[0].Address}, User: "gateway", Password: dataPassword},
	} {
		l, _ := running(t, openRedis(t, o), Options{})
		publish(t, l, session(what))
		if third, _ := running(t, openRedis(t, o), Options{}); !third.SessionRevoked(ours, what) {
			t.Errorf("%s: it did not arrive", what)
		}
	}
}

// secureServer is a Redis that speaks TLS alone, with a certificate for 127.0.0.1, and the authority of that.
func secureServer(t *testing.T, args ...string) (s *redistest.Server, ca string) {
	t.Helper()
	certificate := selfSigned(t)
	dir := t.TempDir()
	ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))
	return redistest.NewSecure(t, write(t, dir, "tls.crt", []byte(ca)), write(t, dir, "tls.key", keyPEM(t, certificate)), args...), ca
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keyPEM(t *testing.T, c tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// protectedAddress is that of a Redis in protected mode, which it is in to whoever does not come from loopback. A machine without
// any other address has one that says, as Redis 7 does, what it says before it ends the connection.
func protectedAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			_, port, err := net.SplitHostPort(redistest.New(t, "--bind", "0.0.0.0", "--protected-mode", "yes").Address)
			if err != nil {
				t.Fatal(err)
			}
			return net.JoinHostPort(n.IP.String(), port)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	})
	go func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user.\r\n"))
			_ = conn.Close() // as with the write: who asked may have gone
		}
	}()
	return listener.Addr().String()
}
