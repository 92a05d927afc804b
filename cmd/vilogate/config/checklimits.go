package config

import "time"

// checkUpstreamLimits is about how much a backend is asked for at a time.
func (c *checker) checkUpstreamLimits(u Upstream) {
	for key, n := range map[string]int{"concurrency": u.Concurrency, "connections": u.Connections} {
		if u.isSet(key) && (n < 1 || n > 100_000) {
			c.errorf(u.Places.Of(key), "%s must be from 1 to 100000, and is left out for any number; it is %d", key, n)
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
