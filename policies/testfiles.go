package policies

import (
	"strings"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Test runs all tests, those in files of their own too. The results are in the order of the files; the error is a
// strictyaml.Errors with what kept tests from being run, and never a test that failed.
func Test(files []File, o Options) (*Set, []TestResult, error) {
	c := &compiler{o: o}
	s := newSet(o)
	var results []TestResult
	hosts := map[string]*HostPolicy{} // by the name of the file; nil for a broken one
	for _, f := range files {
		if IsTestFile(f.Name) {
			continue
		}
		h, tests := c.file(f)
		if hosts[f.Name] = h; h == nil {
			continue
		}
		c.addHost(s, h)
		for i := range tests {
			results = append(results, tests[i].run(h))
		}
	}
	for _, f := range files {
		if IsTestFile(f.Name) {
			results = append(results, c.testFile(f, hosts)...)
		}
	}
	return s, results, c.errs.Sorted()
}

// testFile runs the tests of a file that has nothing else.
func (c *compiler) testFile(f File, hosts map[string]*HostPolicy) (results []TestResult) {
	policy := strings.TrimSuffix(f.Name, testSuffix) + ".yaml"
	h, known := hosts[policy]
	var syntax testFileSyntax
	if !c.decode(f, &syntax) {
		return nil
	}
	if !known {
		c.errorf(strictyaml.Place{File: f.Name, Line: 1, Column: 1}, "there is no policy file %s beside it that these tests could be of", policy)
	}
	if h == nil {
		return nil
	}
	tests := c.tests(h, syntax.Tests)
	for i := range tests {
		results = append(results, tests[i].run(h))
	}
	return results
}
