package config

import (
	"strconv"
	"strings"
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
	// KeepPost is how long a form may be, from 1KiB to 8MiB, that is kept when its sender's session has ended, and can be sent
	// after they have signed in again; "off" keeps none. It is kept for ten minutes, 8 of a browser and 64MiB in all: in the
	// memory of the process, or sealed in Redis where there is one. Of a gateway. Optional: 1MiB.
	KeepPost SizeOrOff `yaml:"keep_post"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (l *Login) SetDefaults() { l.KeepPost = 1 << 20 }

// Logout says what becomes of a browser that signs out.
type Logout struct {
	// ClearSiteData is what a browser is told to remove of the host that answers a sign-out (Clear-Site-Data): "cache",
	// "cookies" (of the whole registered domain), "storage" and "executionContexts"; an empty list for nothing. With the cache
	// go the pages that the back button would show. Optional: [cache].
	ClearSiteData []string `yaml:"clear_site_data"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (l *Logout) SetDefaults() { l.ClearSiteData = []string{"cache"} }

// Header is the value of Clear-Site-Data; "" for none.
func (l *Logout) Header() string {
	quoted := make([]string, len(l.ClearSiteData))
	for i, kind := range l.ClearSiteData {
		quoted[i] = strconv.Quote(kind)
	}
	return strings.Join(quoted, ", ")
}

// IDP runs our own identity provider.
type IDP struct {
	// Listen is where it serves, plain HTTP for a gateway, when it runs without one in the process.
	Listen Address `yaml:"listen"`
	// Database is "sqlite", in the state folder; postgres:// is not supported yet. Optional: sqlite.
	Database string `yaml:"database"`
	// AccessTokenTTL is how long an access token holds; gateways renew it while its session lives. At most half of SessionIdle.
	// Optional: 15m.
	AccessTokenTTL strictyaml.Duration `yaml:"access_token_ttl"`
	// SessionIdle ends a session that is not used, and SessionMax any session. Optional: 8h and 30d; at most 90d.
	SessionIdle strictyaml.Duration `yaml:"session_idle"`
	SessionMax  strictyaml.Duration `yaml:"session_max"`
	// RenewalMax is how long a session is renewed without its browser passing the login host. After that a navigation goes there,
	// without a word, and a fetch is 401. Optional: SessionIdle.
	RenewalMax strictyaml.Duration `yaml:"renewal_max"`
	// RenewalGrace is how long a token stands for its session after the one in its place was delivered: as long as the slowest
	// answers take. Optional: 2m.
	RenewalGrace strictyaml.Duration `yaml:"renewal_grace"`
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
	i.AccessTokenTTL, i.SessionIdle, i.SessionMax = seconds(15*60), seconds(8*3600), seconds(30*86400)
	i.RenewalGrace = seconds(2 * 60)
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
