package config

import (
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// checkConnections is about what connections to a backend are like, and which address a client has.
func (c *checker) checkConnections(u Upstream) {
	if u.Affinity != "" {
		c.oneOf(u.Places.Of("affinity"), "affinity", string(u.Affinity), "user", "cookie", "off")
	}
	c.checkProbe(u.Places.Of("tcp_keepalive"), u.TCPKeepalive)
	if t := time.Duration(u.WebSocketPing); t != 0 && (t < 5*time.Second || t > time.Hour) {
		c.errorf(u.Places.Of("websocket_ping"), "websocket_ping must be off, or from 5s to 1h, it is %s", strictyaml.Duration(t))
	}
	if u.ProxyProtocol == "" {
		return
	}
	c.oneOf(u.Places.Of("proxy_protocol"), "proxy_protocol", string(u.ProxyProtocol), "v1", "v2", "off")
	if u.isSet("keepalive") && u.Keepalive != 0 {
		c.errorf(u.Places.Of("keepalive"), "keepalive is off where there is a proxy_protocol: its header says who the client is, once for a connection")
	}
	for _, address := range u.Addresses() {
		if url := string(address.URL); strings.HasPrefix(url, "h2c:") || strings.HasPrefix(url, "h2:") {
			c.errorf(u.Places.Of("proxy_protocol"), "proxy_protocol is not for %s: requests of many clients share a connection of HTTP/2", url)
			return
		}
	}
}

// checkProbe is about when TCP's own probes begin.
func (c *checker) checkProbe(at strictyaml.Place, k Keepalive) {
	if t := time.Duration(k); t != 0 && (t < time.Second || t > time.Hour) {
		c.errorf(at, "tcp_keepalive must be off, or from 1s to 1h, it is %s", strictyaml.Duration(t))
	}
}

// checkFailover is about how it is known which addresses of a backend can be used.
func (c *checker) checkFailover(u Upstream) {
	c.oneOf(u.Places.Of("retry"), "retry", string(u.Retry), "on", "off")
	c.checkConnections(u)
	if n := u.Eject.Consecutive5xx; isSet(u.Eject.Places, "consecutive_5xx") && (n < 1 || n > 1000) {
		c.errorf(u.Eject.Places.Of("consecutive_5xx"), "eject.consecutive_5xx must be from 1 to 1000, it is %d", n)
	}
	for key, size := range map[string]SizeOrOff{"request": u.Buffer.Request, "response": u.Buffer.Response} {
		if size != 0 && size < 16<<10 || size > 64<<20 {
			c.errorf(u.Buffer.Places.Of(key), "buffer.%s must be off, or from 16KiB to 64MiB, it is %s", key, strictyaml.Size(size))
		}
	}
	if most := c.Limits.BufferDisk / 4; u.Buffer.Disk != 0 && (u.Buffer.Disk < 1<<20 || strictyaml.Size(u.Buffer.Disk) > most) {
		c.errorf(u.Buffer.Places.Of("disk"), "buffer.disk must be off, or from 1MiB to %s, which is one client's quarter of limits.buffer_disk, it is %s", most, strictyaml.Size(u.Buffer.Disk))
	}
	if u.Buffer.Unknown && u.Buffer.Request == 0 {
		c.errorf(u.Buffer.Places.Of("unknown"), "buffer.unknown needs buffer.request, which says how much is taken in")
	}
	h := u.Health
	if h == nil {
		return
	}
	if h.Path != "" && (!strings.HasPrefix(h.Path, "/") || strings.ContainsFunc(h.Path, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' })) {
		c.errorf(h.Places.Of("path"), "health.path is a path, /healthz, with a query if need be")
	}
	if h.Interval < seconds(1) || h.Interval > strictyaml.Duration(time.Hour) {
		c.errorf(h.Places.Of("interval"), "health.interval must be from 1s to 1h, it is %s", h.Interval)
	} else if h.Timeout <= 0 || h.Timeout > h.Interval {
		c.errorf(h.Places.Of("timeout"), "health.timeout must not be longer than health.interval (%s), it is %s", h.Interval, h.Timeout)
	}
	for key, n := range map[string]int{"healthy": h.Healthy, "unhealthy": h.Unhealthy} {
		if n < 1 || n > 100 {
			c.errorf(h.Places.Of(key), "health.%s must be from 1 to 100, it is %d", key, n)
		}
	}
	if strings.ContainsFunc(h.Host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/?#@\\", r) }) {
		c.errorf(h.Places.Of("host"), "health.host is the name of a host, with a port if need be")
	}
}
