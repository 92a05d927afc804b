package revocation

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

func redisPosts(t *testing.T, server *redistest.Server) (*Redis, *Posts) {
	t.Helper()
	r, err := OpenRedis(RedisOptions{URL: server.URL(), Secret: []byte(testSecret), Timeout: waitTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, r.Posts(PostBounds{Lifetime: 10 * time.Minute, PerSender: 1000, Total: 64 << 20, Overhead: 512})
}

// memoryOf is a number of INFO memory.
func memoryOf(t *testing.T, server *redistest.Server, name string) int64 {
	t.Helper()
	info, _ := server.Do("INFO", "memory").(string)
	_, value, _ := strings.Cut(info, "\n"+name+":")
	value, _, _ = strings.Cut(value, "\r")
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v in %s", name, err, info)
	}
	return n
}

// Posts take no more than leaves a quarter of Redis free.
func TestPostsLeaveRoomForRevocations(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	_, kept := redisPosts(t, server)
	most := memoryOf(t, server, "used_memory") + 16<<20
	server.Do("CONFIG", "SET", "maxmemory", most)
	value, n := make([]byte, 1<<20), 0
	for ; n < 64; n++ {
		ok, err := kept.Put(context.Background(), "a", fmt.Sprint("id-", n), value)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
	}
	if used := memoryOf(t, server, "used_memory"); n == 0 || n > 15 || used > most*7/8 {
		t.Errorf("%d MiB were kept, %d of %d bytes are used", n, used, most)
	}
}

// A revocation that does not fit has the posts make room.
func TestARevocationDropsPosts(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	r, kept := redisPosts(t, server)
	most := memoryOf(t, server, "used_memory") + 4<<20 // half of what is kept
	for i := range 8 {
		if ok, err := kept.Put(context.Background(), "a", fmt.Sprint("id-", i), make([]byte, 1<<20)); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	server.Do("CONFIG", "SET", "maxmemory", most)
	if ok, err := kept.Put(context.Background(), "b", "another", []byte("x")); err != nil || ok {
		t.Errorf("another post: %v, %v", ok, err)
	}
	if value, err := kept.Take(context.Background(), "a", "id-0"); err != nil || !bytes.Equal(value, make([]byte, 1<<20)) {
		t.Errorf("one is taken while Redis is full: %d bytes, %v", len(value), err)
	}
	if err := r.Append(context.Background(), []Entry{session("s-1")}); err != nil {
		t.Fatalf("a revocation: %v", err)
	}
	if value, err := kept.Get(context.Background(), "id-1"); err != nil || value != nil {
		t.Errorf("a post after the revocation: %d bytes, %v", len(value), err)
	}
	if n := server.Number("ZCARD", keyIndex); n != 1 {
		t.Errorf("%d revocations", n)
	}
	server.Do("CONFIG", "SET", "maxmemory", 0)
	if ok, err := kept.Put(context.Background(), "a", "id-new", make([]byte, 1<<20)); err != nil || !ok {
		t.Errorf("a post when there is room again: %v, %v", ok, err)
	}
}

// A user of Redis who may not ask for INFO keeps posts all the same.
func TestPostsWithoutINFO(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	r, _ := redisPosts(t, server)
	server.Do("ACL", "SETUSER", "gateway", "on", ">word", "~vilogate:{fleet}:*", "+@read", "+@write", "+@scripting", "+@transaction", "+@connection", "+time")
	limited, err := OpenRedis(RedisOptions{URL: server.URL(), User: "gateway", Password: "word", Secret: []byte(testSecret), Timeout: waitTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := limited.Close(); err != nil {
			t.Error(err)
		}
	})
	kept := limited.Posts(PostBounds{Lifetime: time.Minute, PerSender: 1, Total: 1 << 20, Overhead: 1})
	if ok, err := kept.Put(context.Background(), "a", "id", []byte("x")); err != nil || !ok {
		t.Fatalf("Put: %v, %v", ok, err)
	}
	if value, err := kept.Take(context.Background(), "a", "id"); err != nil || string(value) != "x" {
		t.Errorf("Take: %q, %v", value, err)
	}
	if dropped := r.dropPosts(context.Background()); dropped {
		t.Error("something was left")
	}
}

// In a Cluster all keys of the scripts are at one node.
func TestPostsInACluster(t *testing.T) {
	t.Parallel()
	r, err := OpenRedis(RedisOptions{Cluster: []string{redistest.NewCluster(t)[1].Address}, Secret: []byte(testSecret), Timeout: waitTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	kept := r.Posts(PostBounds{Lifetime: time.Minute, PerSender: 2, Total: 1 << 20, Overhead: 1})
	for _, id := range []string{"one", "two"} {
		if ok, err := kept.Put(context.Background(), "a", id, []byte(id)); err != nil || !ok {
			t.Fatalf("Put: %v, %v", ok, err)
		}
	}
	if value, err := kept.Take(context.Background(), "a", "one"); err != nil || string(value) != "one" {
		t.Errorf("Take: %q, %v", value, err)
	}
	if !r.dropPosts(context.Background()) {
		t.Error("nothing was dropped")
	}
	if value, err := kept.Get(context.Background(), "two"); err != nil || value != nil {
		t.Errorf("Get: %q, %v", value, err)
	}
}
