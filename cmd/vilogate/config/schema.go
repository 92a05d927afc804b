package config

import _ "embed" // of the schema

// Schema is the JSON Schema of the file, for editors. It is made of the types by a test.
//
//go:embed schema.json
var Schema []byte
