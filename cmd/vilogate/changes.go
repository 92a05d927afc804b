package main

import (
	"bytes"
	"maps"
	"reflect"
	"slices"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// changes tells what is different in gen, a line each.
func (gen *generation) changes(before *generation) []string {
	lines := append(fileChanges(before.files, gen.files), fileChanges(before.shadowFiles, gen.shadowFiles)...)
	if !reflect.DeepEqual(withoutPlaces(before.cfg.Upstreams), withoutPlaces(gen.cfg.Upstreams)) {
		lines = append(lines, gen.cfg.Path+": upstreams changed")
	}
	if !reflect.DeepEqual(issuersOf(before.cfg), issuersOf(gen.cfg)) {
		lines = append(lines, gen.cfg.Path+": tokens.issuers changed")
	}
	if before.cfg.Drain != gen.cfg.Drain {
		lines = append(lines, gen.cfg.Path+": drain changed")
	}
	return lines
}

func fileChanges(before, after []policies.File) (lines []string) {
	for _, f := range after {
		i := slices.IndexFunc(before, func(old policies.File) bool { return old.Name == f.Name })
		switch {
		case i < 0:
			lines = append(lines, f.Name+": added")
		case !bytes.Equal(before[i].Data, f.Data):
			lines = append(lines, f.Name+": changed")
		}
	}
	for _, old := range before {
		if !slices.ContainsFunc(after, func(f policies.File) bool { return old.Name == f.Name }) {
			lines = append(lines, old.Name+": removed")
		}
	}
	return lines
}

func withoutPlaces(upstreams map[string]config.Upstream) map[string]config.Upstream {
	all := maps.Clone(upstreams)
	for name, u := range all {
		u.Places = nil
		all[name] = u
	}
	return all
}

// fixed are the keys that a running process cannot change, with what they hold.
func fixed(c *config.Config) map[string]any {
	all := map[string]any{
		"domain": c.Domain, "public_port": c.PublicPort, "state": c.State, "redis": c.Redis, "secret": c.Secret,
		"trusted_proxies": c.TrustedProxies, "policies": c.Policies,
		"listen":     [...]config.Address{c.Listen.HTTPS, c.Listen.HTTP, c.Listen.Admin},
		"limits":     [...]any{c.Limits.HeaderBytes, c.Limits.HeaderTime, c.Limits.IdleTime, c.Limits.BodyMinRate, c.Limits.Streams},
		"tokens":     [...]string{c.Tokens.Cookie, c.Tokens.Audience},
		"revocation": c.Revocation.MaxStaleness,
	}
	if l := c.Login; l != nil {
		all["login"] = [...]string{l.Host, l.Upstream, l.URL}
	}
	if i := c.IDP; i != nil {
		copied := *i
		copied.Places = nil
		all["idp"] = copied
	}
	if a := c.Audit; a != nil {
		copied := *a
		copied.Places = nil
		all["audit"] = copied
	}
	if t := c.Certificates; t != nil {
		copied := *t
		copied.Places, copied.DNS.Places, copied.Files = nil, nil, slices.Clone(t.Files)
		for i := range copied.Files {
			copied.Files[i].Places = nil
		}
		all["certificates"] = copied
	}
	return all
}

// mayReplace refuses a configuration that needs a new process.
func mayReplace(before, after *config.Config) error {
	var wrong strictyaml.Errors
	was, is := fixed(before), fixed(after)
	keys := slices.Sorted(maps.Keys(was))
	for key := range is {
		if _, ok := was[key]; !ok {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		if !reflect.DeepEqual(was[key], is[key]) {
			wrong = append(wrong, &strictyaml.Error{Place: after.Places.Of(key), Msg: "`" + key + "` has changed, which takes a restart"})
		}
	}
	return wrong.Sorted()
}
