package config

import "github.com/viloforge/vilogate/policies/strictyaml"

// Certificates says where the TLS certificates come from.
type Certificates struct {
	// Source is "cloudflare" (an ACME authority signs them, which is shown by DNS records at Cloudflare that the names are
	// ours), "files", or "local" (a CA of our own, for machines that are not public).
	Source string `yaml:"source,required"`
	// Names get a certificate; `*.` stands for one label. Not of source "files". Optional: the domain and the wildcard
	// below it.
	Names []string `yaml:"names"`
	// Files are the certificates of source "files". They are read again when they change.
	Files []CertificateFiles `yaml:"files"`

	// The rest is of source "cloudflare".

	// APIToken is a Cloudflare API token with the permissions Zone / Zone / Read and Zone / DNS / Edit for the zone in which
	// the TXT records are written. Required.
	APIToken string `yaml:"api_token"`
	// Email is where the authority writes to. Optional.
	Email string `yaml:"email"`
	// CA is the directory of the ACME authority, an https address, whose terms of service you agree to by naming it;
	// "staging" is Let's Encrypt's for trials. Optional: Let's Encrypt.
	CA string `yaml:"ca"`
	// CARoots is a file of PEM certificates that are trusted as the authority's own, and no others. Optional: the usual ones.
	CARoots string `yaml:"ca_roots"`
	// EAB binds the account to one that the authority knows already, where it wants that (RFC 8555, section 7.3.4).
	EAB *EAB `yaml:"eab"`
	// APIBase is where Cloudflare's API is, for those behind a proxy. Optional: https://api.cloudflare.com/client/v4.
	APIBase string `yaml:"api_base"`
	// ChallengeDomain is where _acme-challenge.<name> is an alias of (CNAME), for every name. The TXT records are written
	// there, so that the token need not reach the zone of the names. Optional: they are written where they are asked for.
	ChallengeDomain string `yaml:"challenge_domain"`
	// DNS says how it is found out whether the records can be seen.
	DNS CertificateDNS `yaml:"dns"`

	Places strictyaml.Places
}

// Authorities that have a word, or are the default.
const (
	letsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	letsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// SetDefaults fills in what holds where the file says nothing.
func (t *Certificates) SetDefaults() {
	t.CA = letsEncrypt
	t.DNS.PropagationTimeout = seconds(120)
}

// EAB names an account at the authority, and the key that it gave for it.
type EAB struct {
	KeyID  string `yaml:"key_id,required"`
	MACKey string `yaml:"mac_key,required"` // base64url
}

// CertificateDNS says how it is found out whether TXT records can be seen.
type CertificateDNS struct {
	// Resolvers are asked, as host or host:port. Optional: the system's, and then the name servers of the zone.
	Resolvers []string `yaml:"resolvers"`
	// PropagationTimeout is how long a record may take to be seen. Optional: 2m.
	PropagationTimeout strictyaml.Duration `yaml:"propagation_timeout"`

	Places strictyaml.Places
}

// CertificateFiles are the paths of one certificate (chain) and its key, both PEM.
type CertificateFiles struct {
	Certificate string `yaml:"certificate,required"`
	Key         string `yaml:"key,required"`

	Places strictyaml.Places
}

func (t *Certificates) isSet(key string) bool { return isSet(t.Places, key) }
