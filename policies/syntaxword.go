package policies

import (
	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A word is a text that knows where it stands.
type word struct {
	text string
	at   strictyaml.Place
}

// DecodeYAML takes a text.
func (w *word) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	w.at = d.Place(n)
	d.Decode(n, &w.text)
}
