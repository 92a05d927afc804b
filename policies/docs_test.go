package policies

import (
	"os"
	"strings"
	"testing"
)

// TestExamplesOfTheDocsCompile: every policy that doc.go, the README here and the one above show is a good one.
func TestExamplesOfTheDocsCompile(t *testing.T) {
	t.Parallel()
	for name, indent := range map[string]string{"doc.go": "//\t", "README.md": "    ", "../README.md": ""} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, example := range examples(string(data), indent) {
			found++
			o := testOptions
			o.Standalone = true
			if _, err := Compile([]File{{name, []byte(example)}}, o); err != nil {
				t.Errorf("%v\n%s", err, example)
			}
		}
		if found == 0 {
			t.Errorf("%s shows no policy", name)
		}
	}
}

// examples are the blocks of indented lines that begin with host: and go on to the first line that is not.
func examples(text, indent string) (all []string) {
	var block []string
	for line := range strings.SplitSeq(text+"\n\n", "\n") {
		content, in := strings.CutPrefix(line, indent)
		in = in && content != "" && !strings.HasPrefix(content, "```")
		switch {
		case in && (len(block) > 0 || strings.HasPrefix(content, "host: ")):
			block = append(block, content)
		case !in && len(block) > 0:
			all = append(all, strings.Join(block, "\n"))
			block = nil
		}
	}
	return all
}
