package config

import "time"

// checkUpstreamLimits is about how much a backend is asked for at a time.
func (c *checker) checkUpstreamLimits(u Upstream) {
	for key, n := range map[string]int{"concurrency": u.Concurrency, "connections": u.Connections} {
		if u.isSet(key) && (n < 1 || n > 100_000) {
			c.errorf(u.Places.Of(key), "%s must be from 1 to 100000, and is left out for any number; it is %d", key, n)
		}
	}
	if b := u.Breaker; b != nil {
		if isSet(b.Places, "failures") && (b.Failures < 1 || b.Failures > 1000) {
			c.errorf(b.Places.Of("failures"), "breaker.failures must be from 1 to 1000, it is %d", b.Failures)
		}
		if t := b.Open.Std(); t < time.Second || t > 10*time.Minute {
			c.errorf(b.Places.Of("open"), "breaker.open must be from 1s to 10m, it is %s", b.Open)
		}
	}
	q := u.Queue
	if u.isSet("queue") && !u.isSet("concurrency") && !u.isSet("connections") {
		c.errorf(u.Places.Of("queue"), "queue is where requests wait beyond `concurrency` or `connections`, and neither is given")
	}
	if q.Length < 0 || q.Length > 10_000 {
		c.errorf(q.Places.Of("length"), "queue.length must be from 0 to 10000, it is %d", q.Length)
	}
	if t := q.Timeout.Std(); t < time.Second || t > 30*time.Second {
		c.errorf(q.Places.Of("timeout"), "queue.timeout must be from 1s to 30s, it is %s", q.Timeout)
	}
}
