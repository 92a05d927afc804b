package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// placed is err at the place in the configuration that it is about; one that has its places keeps them.
func placed(at strictyaml.Place, err error) error {
	if err == nil || errors.As(err, new(strictyaml.Errors)) {
		return err
	}
	return strictyaml.Errors{{Place: at, Msg: err.Error()}}
}

// together is all that is wrong, sorted by place where every error has one.
func together(errs ...error) error {
	var all strictyaml.Errors
	for _, err := range errs {
		var places strictyaml.Errors
		switch {
		case err == nil:
		case errors.As(err, &places):
			all = append(all, places...)
		default:
			return errors.Join(errs...)
		}
	}
	return all.Sorted()
}

// certificatePairs are the files that the certificates are in, if they are in files.
func certificatePairs(cfg *config.Config) []edge.Pair {
	var pairs []edge.Pair
	if cfg.Certificates != nil {
		for _, f := range cfg.Certificates.Files {
			pairs = append(pairs, edge.Pair{Certificate: f.Certificate, Key: f.Key})
		}
	}
	return pairs
}

// placedCertificates is an error of opening the certificates, at the place of the first file that cannot be used.
func placedCertificates(cfg *config.Config, err error) error {
	for i, pair := range certificatePairs(cfg) {
		_, alone := edge.OpenFiles([]edge.Pair{pair}, slog.New(slog.DiscardHandler))
		if alone == nil {
			continue
		}
		key := "certificate"
		var cause *fs.PathError
		if errors.As(alone, &cause) && cause.Path == pair.Key {
			key = "key"
		}
		return placed(cfg.Certificates.Files[i].Places.Of(key), alone)
	}
	return placed(cfg.Places.Of("certificates"), err)
}

// covered reports whether a certificate for names is good for host; the wildcard host of a policy stands for any label.
func covered(names []string, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range names {
		if name == host || name == "*."+parent {
			return true
		}
	}
	return false
}
