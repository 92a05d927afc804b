package generation

import (
	"bytes"
	"slices"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/policies"
)

// Changes tells what is different in gen, a line each.
func (gen *Generation) Changes(before *Generation) []string {
	was, is := before.Config, gen.Config
	lines := append(fileChanges(before.files, gen.files), fileChanges(before.shadowFiles, gen.shadowFiles)...)
	if !config.Equal(was.Upstreams, is.Upstreams) {
		lines = append(lines, is.Path+": upstreams changed")
	}
	if !config.Equal(was.Tokens.Issuers, is.Tokens.Issuers) {
		lines = append(lines, is.Path+": tokens.issuers changed")
	}
	if config.BeginsIDP(was, is) {
		lines = append(lines, is.Path+": our own identity provider begins")
	}
	if was.Drain != is.Drain {
		lines = append(lines, is.Path+": drain changed")
	}
	if gen.Files != nil && !gen.Files.Same(before.Files) {
		lines = append(lines, is.Path+": the certificates' files changed")
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
