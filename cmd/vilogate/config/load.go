package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Load reads the configuration at path. The error is a strictyaml.Errors where the content is at fault.
func Load(path string, from Sources) (*Config, error) {
	data, err := from.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, interp := &Config{Path: path}, &interpolation{Sources: from, dir: filepath.Dir(path), values: map[string]string{}}
	if err := strictyaml.Decode(path, data, c, strictyaml.WithStrings(interp.expand)); err != nil {
		return nil, err
	}
	c.Incomplete = interp.skipped
	c.setDerivedDefaults(interp.dir)
	check := checker{Config: c}
	check.checkAll()
	check.readIssuerFiles(from)
	check.readRedisCA(from)
	check.readBackendFiles(from)
	for _, e := range check.errs {
		e.Msg = interp.redact(e.Msg)
	}
	if err := check.errs.Sorted(); err != nil {
		return nil, err
	}
	return c, nil
}

// setDerivedDefaults makes paths relative to the working directory, and fills in the defaults that follow from other values.
func (c *Config) setDerivedDefaults(dir string) {
	resolvePath := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	resolvePath(&c.State)
	resolvePath(&c.Policies)
	if c.Redis != nil {
		resolvePath(&c.Redis.CA)
	}
	if c.Audit != nil {
		resolvePath(&c.Audit.File)
	}
	if c.Certificates != nil {
		resolvePath(&c.Certificates.CARoots)
		if c.Certificates.CA == "staging" {
			c.Certificates.CA = letsEncryptStaging
		}
		for i := range c.Certificates.Files {
			resolvePath(&c.Certificates.Files[i].Certificate)
			resolvePath(&c.Certificates.Files[i].Key)
		}
		if c.Certificates.Names == nil {
			c.Certificates.Names = []string{c.Domain, "*." + c.Domain}
		}
	}
	if c.IDP != nil && c.Gateway() {
		c.setLoginHost()
	}
	for _, u := range c.Upstreams {
		if h := u.Health; h != nil && !isSet(h.Places, "timeout") {
			h.Timeout = min(h.Timeout, h.Interval)
		}
		if t := u.TLS; t != nil {
			resolvePath(&t.Roots)
			resolvePath(&t.Certificate)
			resolvePath(&t.Key)
		}
	}
	for i := range c.Tokens.Issuers {
		issuer := &c.Tokens.Issuers[i]
		resolvePath(&issuer.CA)
		resolvePath(&issuer.Keys.File)
		if issuer.isShared() && issuer.Algorithm == "" {
			issuer.Algorithm = "HS256"
		}
	}
}

// setLoginHost puts in the login host of the identity provider in this process.
func (c *Config) setLoginHost() {
	if c.Login == nil {
		c.Login = &Login{Places: strictyaml.Places{"": c.Places.Of("idp")}}
		c.Login.SetDefaults()
	}
	if l := c.Login; !l.isSet("host") && !l.isSet("url") && c.Domain != "" {
		l.Host = "login." + c.Domain
	}
}

// interpolation expands ${…} and redacts the values in errors.
type interpolation struct {
	Sources
	dir     string            // of relative paths
	values  map[string]string // by what stands for them
	skipped bool              // a value was left out
}

var errEmpty = errors.New("must not be empty; leave the key out where there is nothing to say")

// expand expands ${NAME} and ${file:…} in s; the result is never empty: an empty text in the configuration is a mistake, and an empty one in
// Config means that nothing was given, or nothing could be known. Its errors name the variable or the file, never a value.
func (p *interpolation) expand(s string, _ strictyaml.Place) (string, error) {
	if s == "" {
		return "", errEmpty
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, "${")
		if literal, ok := strings.CutSuffix(before, "$"); ok && found {
			out.WriteString(literal + "${")
			s = after
			continue
		}
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		reference, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("%q has no closing }; a literal ${ is written $${", "${"+after)
		}
		value, err := p.resolve(reference)
		if err != nil {
			return "", err
		}
		p.values["${"+reference+"}"] = value
		out.WriteString(value)
		s = rest
	}
}

func (p *interpolation) resolve(reference string) (string, error) {
	var value string
	path, isFile := strings.CutPrefix(reference, "file:")
	switch {
	case isFile && path != "":
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.dir, path)
		}
		data, err := p.ReadFile(path)
		if err != nil && !p.NoSecrets {
			var cause *fs.PathError
			if errors.As(err, &cause) {
				err = cause.Err
			}
			return "", fmt.Errorf("${%s}: cannot read %s: %w", reference, path, err)
		}
		value = string(bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r")))
	case isEnvName(reference):
		value = p.Getenv(reference)
	default:
		return "", fmt.Errorf("%q is neither ${NAME} nor ${file:/path}; a literal ${ is written $${", "${"+reference+"}")
	}
	switch {
	case value != "":
		return value, nil
	case p.NoSecrets:
		p.skipped = true
		return "", strictyaml.ErrSkip
	case isFile:
		return "", fmt.Errorf("${%s}: the file is empty", reference)
	}
	return "", fmt.Errorf("${%s}: the environment variable is not set, or empty", reference)
}

// redact replaces interpolated values in an error by their references.
func (p *interpolation) redact(msg string) string {
	for _, reference := range slices.Sorted(maps.Keys(p.values)) {
		quoted := strconv.Quote(p.values[reference])
		msg = strings.ReplaceAll(msg, quoted[1:len(quoted)-1], reference)
	}
	return msg
}

func isEnvName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
