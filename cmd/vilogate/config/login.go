package config

import (
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Login says where people are sent to sign in: to our own IdP on Host, or to somebody else's page.
type Login struct {
	// Host is the login host of our own IdP. Optional where idp: stands: login.<domain>.
	Host string `yaml:"host"`
	// Upstream is where that IdP listens (http://host:port) when it is another process.
	Upstream string `yaml:"upstream"`
	// URL is somebody else's login page, given the return address as redirect_uri.
	URL string `yaml:"url"`

	Places strictyaml.Places
}

// IDP runs our own identity provider.
type IDP struct {
	// Listen is where it serves, plain HTTP for a gateway, when it runs without one in the process.
	Listen Address `yaml:"listen"`
	// Database is "sqlite", in the state folder; postgres:// is not supported yet. Optional: sqlite.
	Database string `yaml:"database"`
	// AccessTokenTTL is how long an access token holds. Optional: 1h.
	AccessTokenTTL strictyaml.Duration `yaml:"access_token_ttl"`
	// SessionIdle ends a session that is not used, and SessionMax any session. Optional: 8h and 30d; at most 90d.
	SessionIdle strictyaml.Duration `yaml:"session_idle"`
	SessionMax  strictyaml.Duration `yaml:"session_max"`
	// ReturnHosts are the hosts that a login may return to, `*.` for one label. Optional where gateway and IdP are one
	// process: the hosts of the policies.
	ReturnHosts []string `yaml:"return_hosts"`
	// Home is where a login without a usable return address ends: a path of the login host, or an https address.
	// Optional: /account.
	Home string `yaml:"home"`
	// LoginLimits slow logins down.
	LoginLimits LoginLimits `yaml:"login_limits"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (i *IDP) SetDefaults() {
	i.Database, i.Home = "sqlite", "/account"
	i.AccessTokenTTL, i.SessionIdle, i.SessionMax = seconds(3600), seconds(8*3600), seconds(30*86400)
	i.LoginLimits.SetDefaults()
}

// LoginLimits are rates of logins: of failed ones from browsers that nobody has signed in to the account from yet (others have
// ten failures of their own until the next success), and of those that succeed.
type LoginLimits struct {
	// PerAccount counts by account, however its name is spelt. Its number may come at once; after them one a minute is let
	// through, or as few as the rate says, and after 100 consecutive failures one in ten minutes. A success, or
	// `vilogate user unlock`, begins anew. Optional: 10/m.
	PerAccount Rate `yaml:"per_account"`
	// PerAddress counts by client address (IPv6 by /64). Optional: 60/m.
	PerAddress Rate `yaml:"per_address"`
	// Successes counts, by account and client address together, the logins that succeed, from known browsers too.
	// Optional: 60/m.
	Successes Rate `yaml:"successes"`
}

// SetDefaults fills in what holds where the file says nothing.
func (l *LoginLimits) SetDefaults() {
	*l = LoginLimits{PerAccount: Rate{gcra.Rate{Events: 10, Per: time.Minute}}, PerAddress: Rate{gcra.Rate{Events: 60, Per: time.Minute}}, Successes: Rate{gcra.Rate{Events: 60, Per: time.Minute}}}
}

func (l *Login) isSet(key string) bool { return isSet(l.Places, key) }

func (i *IDP) isSet(key string) bool { return isSet(i.Places, key) }
