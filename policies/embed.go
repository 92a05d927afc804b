package policies

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"

	"github.com/viloforge/vilogate/policies/request"
)

// shippedDomain is the domain that the shipped files are written for, and the folder they stand in.
const shippedDomain = "viloforge.com"

// Shipped are the policy files of the demo system, as they stand in this folder.
//
//go:embed viloforge.com
var Shipped embed.FS

// ShippedFor are the shipped policy files, written for another domain. Their names are those of the files alone.
func ShippedFor(domain string) ([]File, error) {
	host, err := request.ParseHost(domain)
	if err != nil {
		return nil, fmt.Errorf("policies for the domain %q: %w", domain, err)
	}
	names, err := fs.Glob(Shipped, shippedDomain+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the shipped policies: %w", err)
	}
	var files []File
	for _, name := range names {
		data, err := Shipped.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the shipped policies: %w", err)
		}
		files = append(files, File{path.Base(name), bytes.ReplaceAll(data, []byte(shippedDomain), []byte(host))})
	}
	return files, nil
}

//go:embed schema/policy.json
var policySchema []byte

//go:embed schema/tests.json
var testsSchema []byte

// Schemas are the JSON Schemas of a policy file ("policy") and of a file of tests ("tests"), for editors. They are made of
// the types by a test.
var Schemas = map[string][]byte{"policy": policySchema, "tests": testsSchema}
