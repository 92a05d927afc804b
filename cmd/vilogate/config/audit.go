package config

import (
	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Audit keeps one JSON record of every decision, of every sign-in and sign-out, and of what administrators change, a line
// each, in files that only the owner can read.
type Audit struct {
	// File is where they are written. What is no regular file, such as /dev/stdout, is never rotated.
	File string `yaml:"file,required"`
	// MaxSize is the size at which a file is rotated: renamed to FILE.1, what was FILE.1 to FILE.2, and so on.
	// Optional: 100MiB.
	MaxSize strictyaml.Size `yaml:"max_size"`
	// Keep is how many files there are at most besides the one that is written. Optional: 10.
	Keep int `yaml:"keep"`
	// Fsync says when records are forced to the disk: "always", before their requests are forwarded; "interval", once a
	// second; "off", when the operating system likes. Optional: interval.
	Fsync Fsync `yaml:"fsync"`
	// OnFailure says what becomes of requests, sign-ins and changes while records cannot be written, as on a full disk:
	// "refuse" answers them 503, "drop" lets them pass and counts the records that are missing. Optional: refuse.
	OnFailure string `yaml:"on_failure"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (a *Audit) SetDefaults() {
	a.MaxSize, a.Keep, a.Fsync, a.OnFailure = 100<<20, 10, "interval", "refuse"
}

// Fsync is "always", "interval" or "off".
type Fsync string

// DecodeYAML takes a word, off with quotes or without.
func (f *Fsync) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Value == "off" {
		*f = "off"
		return
	}
	d.Decode(n, (*string)(f))
}
