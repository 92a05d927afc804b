package config

import "github.com/viloforge/vilogate/policies/strictyaml"

// Tokens says which logins are believed.
type Tokens struct {
	// Cookie is the name of the SSO cookie of our own IdP. Optional: __Secure-sso.
	Cookie string `yaml:"cookie" reload:"restart"`
	// Audience is the audience of our own IdP's tokens. Optional: viloforge.
	Audience string `yaml:"audience" reload:"restart"`
	// MaxBytes is the longest token that is looked at, from 4KiB to 64KiB and below limits.header_bytes. Optional: 16KiB; not of an
	// IdP alone.
	MaxBytes strictyaml.Size `yaml:"max_bytes" reload:"restart"`
	// Issuers are believed besides our own IdP; idp/token/README.md has what to write for the ones that many have. Optional.
	Issuers []Issuer `yaml:"issuers"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (t *Tokens) SetDefaults() {
	t.Cookie, t.Audience, t.MaxBytes = "__Secure-sso", "viloforge", 16<<10
}
