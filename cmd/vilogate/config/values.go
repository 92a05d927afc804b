package config

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Address is where to listen, "host:port", or Off.
type Address string

// Off is the Address of a listener that is disabled.
const Off Address = "off"

// DecodeYAML takes an address, or off with quotes or without.
func (a *Address) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Value == string(Off) {
		*a = Off
		return
	}
	var s string
	if !d.Decode(n, &s) {
		return
	}
	if !isAddress(s) {
		d.Errorf(n, "%q is no address to listen on; one is written \":443\", \"127.0.0.1:8443\" or \"[::1]:8443\"", d.Written(n))
		return
	}
	*a = Address(s)
}

// Port is the address's port; 0 where a free one is to be picked.
func (a Address) Port() int {
	port, err := strconv.Atoi(string(a)[strings.LastIndexByte(string(a), ':')+1:])
	if err != nil {
		return 0
	}
	return port
}

func isAddress(s string) bool {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return false
	}
	port, err := strconv.ParseUint(s[at+1:], 10, 16)
	if err != nil || strconv.FormatUint(port, 10) != s[at+1:] {
		return false
	}
	host := s[:at]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6()
	}
	addr, err := netip.ParseAddr(host)
	return host == "" || host == "localhost" || err == nil && addr.Is4()
}

// Network is a range of addresses, 10.0.0.0/8, or a single one.
type Network struct{ netip.Prefix }

// DecodeYAML takes a network or an address.
func (w *Network) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	var s string
	if !d.Decode(n, &s) {
		return
	}
	network, err := request.ParseNetwork(s)
	if err != nil {
		d.Errorf(n, "%q: %v", d.Written(n), err)
	}
	w.Prefix = network
}

// Rate is so many in a time, 10/m.
type Rate struct{ gcra.Rate }

// DecodeYAML takes the text of a rate.
func (r *Rate) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	var s string
	if !d.Decode(n, &s) {
		return
	}
	var err error
	if r.Rate, err = gcra.ParseRate(s); err != nil {
		d.Errorf(n, "%v, found %q", err, d.Written(n))
	}
}

// ByteRate is bytes a second, 1KiB/s.
type ByteRate int64

// DecodeYAML takes the text of a rate of bytes.
func (r *ByteRate) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	var s string
	if !d.Decode(n, &s) {
		return
	}
	text, perSecond := strings.CutSuffix(s, "/s")
	size, err := strictyaml.ParseSize(text)
	if err != nil || !perSecond || size <= 0 {
		d.Errorf(n, "a rate of bytes is written 1KiB/s, found %q", d.Written(n))
	}
	*r = ByteRate(size)
}

// Switch is "on" or "off".
type Switch string

// DecodeYAML takes a word, with quotes or without.
func (s *Switch) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && (n.Value == "on" || n.Value == "off") {
		*s = Switch(n.Value)
		return
	}
	d.Decode(n, (*string)(s))
}

// wordOrOff takes a word, or off with quotes or without, which is "".
func wordOrOff(d *strictyaml.Decoder, n *yaml.Node, word *string) {
	*word = ""
	if n.Kind != yaml.ScalarNode || n.Value != "off" {
		d.Decode(n, word)
	}
}

// ProxyProtocol is v1, v2, or "" for off.
type ProxyProtocol string

// DecodeYAML takes a word, with quotes or without.
func (p *ProxyProtocol) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	wordOrOff(d, n, (*string)(p))
}

// Affinity is user, cookie, or "" for off.
type Affinity string

// DecodeYAML takes a word, with quotes or without.
func (a *Affinity) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) { wordOrOff(d, n, (*string)(a)) }

// Keepalive is how long a connection may be idle; 0 is off.
type Keepalive time.Duration

// DecodeYAML takes a duration, or off with quotes or without.
func (k *Keepalive) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Value == "off" {
		*k = 0
		return
	}
	var t strictyaml.Duration
	if !d.Decode(n, &t) {
		return
	}
	if t <= 0 {
		d.Errorf(n, "keepalive is a time, 4s, or off")
	}
	*k = Keepalive(t)
}

// Resolve is the longest time until names are looked up again; 0 is off.
type Resolve time.Duration

// maxTTL is the longest time to live of a name that is gone by.
const maxTTL = time.Hour

// DecodeYAML takes a duration, ttl, or off with quotes or without.
func (r *Resolve) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && (n.Value == "off" || n.Value == "ttl") {
		if *r = 0; n.Value == "ttl" {
			*r = Resolve(maxTTL)
		}
		return
	}
	var t strictyaml.Duration
	if !d.Decode(n, &t) {
		return
	}
	if t < seconds(1) || t > strictyaml.Duration(maxTTL) {
		d.Errorf(n, "resolve is a time from 1s to 1h, 10s, or ttl, or off")
	}
	*r = Resolve(t)
}

// SizeOrOff is a size, or 0 for off.
type SizeOrOff strictyaml.Size

// DecodeYAML takes a size, or off with quotes or without.
func (s *SizeOrOff) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Value == "off" {
		*s = 0
		return
	}
	var size strictyaml.Size
	if d.Decode(n, &size) {
		*s = SizeOrOff(size)
	}
}

// StatusRange are the statuses of HTTP from one to another.
type StatusRange struct{ From, To int }

// DecodeYAML takes a range, 200-399, or one status, 204.
func (r *StatusRange) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		if d.Decode(n, &r.From) {
			r.To = r.From
		}
	} else {
		var s string
		if !d.Decode(n, &s) {
			return
		}
		from, to, _ := strings.Cut(s, "-")
		r.From, _ = strconv.Atoi(from)
		r.To, _ = strconv.Atoi(to)
	}
	if r.From < 200 || r.To > 599 || r.From > r.To {
		d.Errorf(n, "a range of statuses is written 200-399, or 204, from 200 to 599; found %q", d.Written(n))
	}
}

// unsupported is the value of a documented key that is not supported yet. It may be anything, and the check refuses the key.
type unsupported struct{}

// DecodeYAML takes anything.
func (*unsupported) DecodeYAML(*strictyaml.Decoder, *yaml.Node) {}

var errUnsupported = errors.New("not supported yet")

func seconds(n int64) strictyaml.Duration { return strictyaml.Duration(n * int64(time.Second)) }
