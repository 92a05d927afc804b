package revocation

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// filled returns a list that knows n entries of every kind in turn.
func filled(n int) *List {
	l := NewList(nil, Options{})
	for i := range n {
		l.table.add(fact{name: name{Kind(i%3 + 1), "vilogate", fmt.Sprintf("V1StGXR8_Z5jdHi6B-myT%06d", i)}, expires: maxTime})
	}
	return l
}

const (
	benchJTI = "AcFi0hPzTz2sV7Jx1CkRzw"
	benchSID = "kYJ8-Wn5Q0m3cR1Zq7dU9g"
	benchSub = "u_01J9ZQ4T5X8M2K7V3N6P0R1S"
)

// BenchmarkRevoked is what every request pays: three questions, none of which finds anything.
func BenchmarkRevoked(b *testing.B) {
	for _, n := range []int{0, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := filled(n)
			iat := time.Unix(1_790_000_000, 0)
			b.ReportAllocs()
			for b.Loop() {
				if l.Revoked("vilogate", benchJTI, benchSID, benchSub, iat) {
					b.Fatal("revoked")
				}
			}
		})
	}
}

// BenchmarkRevokedWhileWritten is the same while others publish.
func BenchmarkRevokedWhileWritten(b *testing.B) {
	l := filled(10_000)
	iat := time.Unix(1_790_000_000, 0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				l.table.add(fact{name: name{Token, "vilogate", fmt.Sprint(i % 50_000)}, expires: int64(i)})
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	b.ReportAllocs()
	for b.Loop() {
		if l.Revoked("vilogate", benchJTI, benchSID, benchSub, iat) {
			b.Fatal("revoked")
		}
	}
}

// BenchmarkArrival is from the beginning of Publish at one list to the refusal at another, over Redis.
func BenchmarkArrival(b *testing.B) {
	one, two := pair(b, newServer(b), Options{})
	var delays []time.Duration
	for b.Loop() {
		id := fmt.Sprint(len(delays))
		began := time.Now()
		publish(b, one, session(id))
		for !two.SessionRevoked(ours, id) {
			runtime.Gosched()
		}
		delays = append(delays, time.Since(began))
	}
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(delays[len(delays)-1].Microseconds()), "worst-µs")
}

func TestReadingAllocatesNothing(t *testing.T) {
	l := filled(10_000)
	iat, now := time.Unix(1_790_000_000, 0), time.Now()
	got := testing.AllocsPerRun(100, func() {
		l.Revoked("vilogate", benchJTI, benchSID, benchSub, iat)
		l.Revoked("vilogate", "V1StGXR8_Z5jdHi6B-myT000000", "", "", iat)
		l.SessionRevoked("vilogate", benchSID)
		l.SubjectCutoff("vilogate", "V1StGXR8_Z5jdHi6B-myT000002")
		l.AwaitSync(now)
		l.Stale(now)
	})
	if got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
