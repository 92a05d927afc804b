package config

import (
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// BackendURL is the address of a backend.
type BackendURL string

// Backend is one of several addresses of a backend: http://host:port, or { url: "http://host:port", weight: 3 }.
type Backend struct {
	// URL is the address.
	URL BackendURL `yaml:"url,required"`
	// Weight is its share of the requests beside those of the others, from 0 to 1000. 0 drains it: it has no new requests, those
	// under way end, and it is checked on. Optional: 1.
	Weight int `yaml:"weight"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (b *Backend) SetDefaults() { b.Weight = 1 }

// DecodeYAML takes an address, or one with its weight.
func (b *Backend) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		b.SetDefaults()
		b.Places = strictyaml.Places{"": d.Place(n)}
		d.Decode(n, &b.URL)
		return
	}
	type keys Backend // without this method
	whole := (*keys)(b)
	b.SetDefaults()
	d.Decode(n, whole)
}

// maxUnixPath is how long the path of a Unix socket may be on Linux.
const maxUnixPath = 107

// DecodeYAML takes an address.
func (b *BackendURL) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	var s string
	if !d.Decode(n, &s) {
		return
	}
	at, wrong := checkBackendURL(s)
	switch {
	case wrong == "":
		*b = BackendURL(s)
	case d.Written(n) != s: // where in the text says nothing
		d.Errorf(n, "%s", wrong)
	default:
		place := d.PlaceWithin(n)(utf8.RuneCountInString(s[:at]))
		d.Errorf(&yaml.Node{Line: place.Line, Column: place.Column}, "%s", wrong)
	}
}

// checkBackendURL says what is wrong with an address, and at which byte; "" for nothing.
func checkBackendURL(s string) (at int, wrong string) {
	const form = "the address of a backend is written http://host:port, https://host:port or unix:/path, for HTTP/2 h2c://host:port or h2://host:port (in TLS), an IPv6 host as [::1]"
	if socket, isUnix := strings.CutPrefix(s, "unix:"); isUnix {
		switch {
		case !path.IsAbs(socket) || path.Clean(socket) != socket || strings.ContainsAny(socket, "?#%\x00"):
			return len("unix:"), "a Unix socket is written unix:/run/app.sock: the absolute path, as it stands in the file system"
		case len(socket) > maxUnixPath:
			return len("unix:"), "the path of a Unix socket has at most " + strconv.Itoa(maxUnixPath) + " bytes"
		}
		return 0, ""
	}
	u, err := url.Parse(s)
	scheme, rest, _ := strings.Cut(s, "://")
	switch scheme {
	case "http", "https", "h2c", "h2":
	default:
		return 0, form
	}
	if err != nil || !isBackendHost(u) {
		return 0, form
	}
	begin := len(scheme) + len("://")
	switch after := strings.IndexAny(rest, "/?#"); {
	case u.User != nil:
		return begin, "the address of a backend has no user; a route can send Authorization (request_headers)"
	case after < 0:
		return 0, ""
	default:
		at, rest = begin+after, rest[after:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		return at + i, "the address of a backend has no query and no fragment"
	}
	return at, checkBackendPath(rest)
}

// checkBackendPath says what is wrong with what requests' paths are put behind.
func checkBackendPath(s string) string {
	s = strings.TrimSuffix(s, "/") + "/" // with which what is put behind it begins
	canonical, err := request.ParsePath(s)
	switch {
	case err != nil:
		return "the path of a backend is what paths are put behind, as it is: " + err.Error()
	case canonical.Ambiguities() != 0:
		return "the path of a backend has a spelling that servers read in different ways: " + canonical.Ambiguities().String()
	case canonical.String() != s:
		return "the path of a backend is canonical: " + strings.TrimSuffix(canonical.String(), "/")
	}
	return ""
}

// isBackendHost reports whether host and port can be connected to.
func isBackendHost(u *url.URL) bool {
	if port := u.Port(); port != "" {
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || strconv.FormatUint(number, 10) != port {
			return false
		}
	}
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(host)
		return err == nil && addr.Is6()
	}
	return host != "" && !strings.HasSuffix(u.Host, ":") && !strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("%@\\", r) })
}

// isHTTPS reports whether TLS is spoken there.
func (b BackendURL) isHTTPS() bool {
	return strings.HasPrefix(string(b), "https://") || strings.HasPrefix(string(b), "h2://")
}

// isHTTP2 reports whether HTTP/2 is spoken there.
func (b BackendURL) isHTTP2() bool {
	return strings.HasPrefix(string(b), "h2c://") || strings.HasPrefix(string(b), "h2://")
}

// hasName reports whether it is the address of a host by its name.
func (b BackendURL) hasName() bool {
	u, err := url.Parse(string(b))
	if err != nil || u.Scheme == "unix" {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err != nil
}

// prefix is what paths are put behind.
func (b BackendURL) prefix() string {
	u, err := url.Parse(string(b))
	if err != nil || u.Scheme == "unix" {
		return ""
	}
	return strings.TrimSuffix(u.EscapedPath(), "/")
}
