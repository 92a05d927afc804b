package generation

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"

	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// HostTLS is what the hosts of a generation ask of connections, by their policies.
type HostTLS struct {
	policies *policies.Set
	settings map[*policies.HostPolicy]*edge.HostTLS
}

// readHostTLS reads the certificates that policies name.
func readHostTLS(set *policies.Set) (*HostTLS, error) {
	h := &HostTLS{set, map[*policies.HostPolicy]*edge.HostTLS{}}
	var wrong strictyaml.Errors
	for _, name := range set.Hosts() {
		host := set.Lookup(request.Host(name)) // of a pattern too, since no host is called so
		if host == nil || host.TLS == nil {
			continue
		}
		settings, err := readTLS(host.TLS)
		if err != nil {
			wrong = append(wrong, &strictyaml.Error{Place: host.TLS.Place, Msg: err.Error()})
		}
		h.settings[host] = settings
	}
	return h, wrong.Sorted()
}

func readTLS(t *policies.TLS) (*edge.HostTLS, error) {
	var pem []byte
	if t.ClientCA != "" {
		path := t.ClientCA
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(t.Place.File), path)
		}
		var err error
		if pem, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("client_ca: %w", err)
		}
	}
	settings, err := edge.NewHostTLS(t.MinVersion, pem)
	if err != nil {
		return nil, fmt.Errorf("client_ca %s: %w", t.ClientCA, err)
	}
	return settings, nil
}

// Lookup is what a host asks, by any spelling of its name; nil for nothing.
func (h *HostTLS) Lookup(name string) *edge.HostTLS {
	if len(h.settings) == 0 {
		return nil
	}
	host, err := request.ParseHost(name)
	if err != nil {
		return nil
	}
	policy := h.policies.Lookup(host)
	if policy == nil {
		return nil
	}
	return h.settings[policy]
}

// admitsConnection reports whether a request for host may come over a connection, else it is misdirected (421): the host
// of its SNI has the same TLS settings, and it satisfies them.
func (h *HostTLS) admitsConnection(state *tls.ConnectionState, host string) bool {
	if len(h.settings) == 0 || state == nil {
		return true
	}
	asked := h.Lookup(host)
	return asked.Equal(h.Lookup(state.ServerName)) && asked.Admits(state)
}
