package config

import (
	"encoding/json"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Keys is a JSON Web Key Set (RFC 7517): a file, which is read with the configuration, or the keys themselves.
type Keys struct {
	// File is the path, "" where the keys stand in the configuration.
	File string
	// Set is the key set as JSON; "" where there is none.
	Set string

	places strictyaml.Places // of keys that stand in the configuration, by their index
}

// DecodeYAML takes a path, a list of keys, or a key set.
func (k *Keys) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		d.Decode(n, &k.File)
		return
	}
	list := n
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "keys" {
		list = n.Content[1]
	}
	if list.Kind != yaml.SequenceNode {
		d.Errorf(n, "keys is a file with a JSON Web Key Set, or a list of such keys: [ { kty: EC, crv: P-256, x: …, y: … } ]")
		return
	}
	keys, places := make([]any, len(list.Content)), strictyaml.Places{}
	for i, key := range list.Content {
		keys[i], places[strconv.Itoa(i)] = jwkValue(key), d.Place(key)
	}
	set, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		d.Errorf(n, "%v", err)
		return
	}
	k.Set, k.places = string(set), places
}

// jwkValue is a part of a key as JSON has it. All that a key says is text, however YAML reads it (e: 65537, kid: 2026).
func jwkValue(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		members := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			members[n.Content[i].Value] = jwkValue(n.Content[i+1])
		}
		return members
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = jwkValue(item)
		}
		return list
	}
	if n.ShortTag() == "!!null" {
		return nil
	}
	return n.Value
}
