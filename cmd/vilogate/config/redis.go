package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Redis is one server, the master that Sentinels name, or a Cluster. An address alone, "redis://host:6379/0", is its url.
type Redis struct {
	// URL is one server: redis://host:6379/0, or rediss:// for TLS; it may hold user and password. One of URL, Sentinel
	// and Cluster is required.
	URL string `yaml:"url"`
	// Sentinel is the master that Sentinels name.
	Sentinel Sentinel `yaml:"sentinel"`
	// Cluster are some nodes of a Cluster, host:port.
	Cluster []string `yaml:"cluster"`
	// User is who the servers that hold the data know us as (ACL); with Password. Optional: their default user.
	User string `yaml:"user"`
	// Password is the password of those servers, and never the Sentinels'. Optional: they want none.
	Password string `yaml:"password"`
	// TLS speaks TLS with every server, the Sentinels too. Optional: as the scheme of URL says, else false.
	TLS bool `yaml:"tls"`
	// CA is a file of PEM certificates that are trusted as the servers' authority in TLS, and no others. Optional: the usual
	// ones.
	CA string `yaml:"ca"`

	// CAPEM is what CA holds.
	CAPEM string `yaml:"-"`

	Places strictyaml.Places
}

// Sentinel names a master and the Sentinels that know it.
type Sentinel struct {
	// Master is the name by which they watch it: `sentinel monitor NAME …`.
	Master string `yaml:"master,required"`
	// Addresses are the Sentinels', host:port.
	Addresses []string `yaml:"addresses,required"`
	// User and Password are the Sentinels' own, whatever the servers that they watch want. Optional: they want none.
	User     string `yaml:"user"`
	Password string `yaml:"password"`

	Places strictyaml.Places
}

// UsesTLS reports whether the servers are spoken to in TLS.
func (r *Redis) UsesTLS() bool { return r.TLS || strings.HasPrefix(r.URL, "rediss://") }

// DecodeYAML takes the address of one server, or a mapping.
func (r *Redis) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		if d.Decode(n, &r.URL) {
			r.checkURL(d, n)
		}
		return
	}
	type keys Redis // without this method
	if !d.Decode(n, (*keys)(r)) {
		return
	}
	url, sentinel, cluster := isSet(r.Places, "url"), isSet(r.Places, "sentinel"), isSet(r.Places, "cluster")
	switch {
	case url && !sentinel && !cluster:
		r.checkURL(d, n)
	case sentinel && !url && !cluster:
		r.checkAddresses(d, n, r.Sentinel.Addresses)
		checkUser(d, n, "redis.sentinel", r.Sentinel.Places, r.Sentinel.User)
	case cluster && !url && !sentinel:
		r.checkAddresses(d, n, r.Cluster)
	default:
		d.Errorf(n, "redis is one of: an address, { url: … }, { sentinel: … }, { cluster: … }")
		return
	}
	checkUser(d, n, "redis", r.Places, r.User)
	if isSet(r.Places, "ca") && !r.UsesTLS() {
		d.Errorf(n, "redis.ca is whom to trust in TLS: with `tls: true`, or an address rediss://")
	}
}

// checkUser refuses a user that could not prove itself.
func checkUser(d *strictyaml.Decoder, n *yaml.Node, key string, places strictyaml.Places, user string) {
	if user != "" && !isSet(places, "password") {
		d.Errorf(n, "%s.user needs %[1]s.password", key)
	}
}

func (r *Redis) checkURL(d *strictyaml.Decoder, n *yaml.Node) {
	if r.URL == "" {
		return // not known
	}
	u, err := url.Parse(r.URL)
	switch {
	case err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Hostname() == "" || u.Fragment != "":
		d.Errorf(n, "a Redis address is written redis://host:6379/0, or rediss:// for TLS")
	case u.RawQuery != "" || u.ForceQuery:
		d.Errorf(n, "a Redis address takes no options (?…); it is written redis://host:6379/0")
	case !isDatabase(strings.TrimPrefix(u.Path, "/")):
		d.Errorf(n, "the path of a Redis address is the number of a database: redis://host:6379/0")
	case u.User != nil && (isSet(r.Places, "user") || isSet(r.Places, "password")):
		d.Errorf(n, "user and password stand in redis.url, or in redis.user and redis.password; keep one of the two")
	}
}

func isDatabase(s string) bool {
	number, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && strconv.FormatUint(number, 10) == s
}

func (r *Redis) checkAddresses(d *strictyaml.Decoder, n *yaml.Node, addresses []string) {
	if len(addresses) == 0 {
		d.Errorf(n, "no address is given")
	}
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if number, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || host == "" || number == 0 {
			d.Errorf(n, "an address of Redis is written host:port here, without redis://")
			return
		}
	}
}
