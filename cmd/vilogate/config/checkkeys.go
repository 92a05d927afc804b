package config

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// readIssuerFiles reads the files that issuers name, and judges what is in them. One that is not here is left out of a check
// without secrets.
func (c *checker) readIssuerFiles(from Sources) {
	for n := range c.Tokens.Issuers {
		i := &c.Tokens.Issuers[n]
		if i.CA != "" {
			if data, ok := c.readFile(from, i.Places.Of("ca"), "ca", i.CA); ok {
				i.CAPEM = string(data)
				if !x509.NewCertPool().AppendCertsFromPEM(data) {
					c.errorf(i.Places.Of("ca"), "ca: %s holds no certificate (PEM)", i.CA)
				}
			}
		}
		if i.Keys.File != "" {
			data, ok := c.readFile(from, i.Places.Of("keys"), "keys", i.Keys.File)
			if !ok {
				continue
			}
			i.Keys.Set = string(bytes.TrimSpace(data))
		}
		if i.Keys.File != "" || i.Keys.Set != "" {
			c.checkKeys(i)
		}
	}
}

// readRedisCA reads the file of the authority of Redis.
func (c *checker) readRedisCA(from Sources) {
	r := c.Redis
	if r == nil || r.CA == "" {
		return
	}
	at := r.Places.Of("ca")
	data, ok := c.readFile(from, at, "redis.ca", r.CA)
	if ok && !x509.NewCertPool().AppendCertsFromPEM(data) {
		c.errorf(at, "redis.ca: %s holds no certificate (PEM)", r.CA)
	}
	r.CAPEM = string(data)
}

func (c *checker) readFile(from Sources, at strictyaml.Place, key, path string) ([]byte, bool) {
	data, err := from.ReadFile(path)
	switch {
	case err != nil && from.NoSecrets && errors.Is(err, fs.ErrNotExist):
		c.Incomplete = true
	case err != nil:
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		c.errorf(at, "%s: cannot read %s: %v", key, path, err)
	}
	return data, err == nil
}

// checkKeys judges an issuer's own key set. What is unusable in it is refused only where nothing else is there.
func (c *checker) checkKeys(i *Issuer) {
	found := i.inspectKeys()
	c.errs = append(c.errs, found.wrong...)
	if found.good == 0 && len(found.wrong) == 0 {
		c.errs = append(c.errs, found.unusable...)
		c.errorf(i.Places.Of("keys"), "%s: there is no key with which a token could be verified", i.keysFrom())
	}
}

// KeyWarnings say which of the keys that issuers have here verify no token, and why.
func (c *Config) KeyWarnings() (all strictyaml.Errors) {
	for n := range c.Tokens.Issuers {
		if i := &c.Tokens.Issuers[n]; i.Keys.Set != "" {
			all = append(all, i.inspectKeys().unusable...)
		}
	}
	return all
}

// inspectedKeys is what is found in an issuer's own key set.
type inspectedKeys struct {
	good     int
	unusable strictyaml.Errors // keys that verify nothing
	wrong    strictyaml.Errors // what must not stand there
}

func (i *Issuer) inspectKeys() (found inspectedKeys) {
	at, from := i.Places.Of("keys"), i.keysFrom()
	entries, err := token.InspectSet([]byte(i.Keys.Set))
	if err != nil {
		msg := from + " is no JSON Web Key Set: " + strings.TrimPrefix(err.Error(), "token: key set: ")
		found.wrong = strictyaml.Errors{{Place: at, Msg: msg}}
		return found
	}
	for _, entry := range entries {
		place, ok := i.Keys.places[strconv.Itoa(entry.Index)]
		if !ok {
			place = at
		}
		switch {
		case entry.Err == nil:
			found.good++
		case errors.Is(entry.Err, token.ErrPrivateKey):
			found.wrong = append(found.wrong, &strictyaml.Error{Place: place, Msg: fmt.Sprintf(
				"%s: %s: %v; only public keys belong here, and whoever can read this one can sign with it", from, entry, entry.Err)})
		default:
			found.unusable = append(found.unusable, &strictyaml.Error{Place: place, Msg: fmt.Sprintf(
				"issuer %s: %s: %s is not used: %v", i.Name, from, entry, entry.Err)})
		}
	}
	return found
}

// keysFrom says where an issuer's own keys stand.
func (i *Issuer) keysFrom() string {
	if i.Keys.File == "" {
		return "keys"
	}
	return "keys: " + i.Keys.File
}
