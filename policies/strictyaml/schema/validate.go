package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Validate says what a schema of this package finds wrong with a YAML document: "/routes/0: …", one for each place. It
// knows the words that Generator writes, and no others.
func Validate(schema, document []byte) ([]string, error) {
	var v validator
	if err := json.Unmarshal(schema, &v.root); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	var value any
	if err := yaml.Unmarshal(document, &value); err != nil {
		return nil, fmt.Errorf("schema: the document: %w", err)
	}
	v.check(v.root, value, "")
	return v.problems, nil
}

type validator struct {
	root     Node
	problems []string
}

func (v *validator) errorf(at, format string, a ...any) {
	v.problems = append(v.problems, at+": "+fmt.Sprintf(format, a...))
}

// holds reports whether a value is right, and says nothing.
func (v *validator) holds(s Node, value any) bool {
	other := validator{root: v.root}
	other.check(s, value, "")
	return len(other.problems) == 0
}

func (v *validator) check(s Node, value any, at string) {
	for _, word := range slices.Sorted(maps.Keys(s)) {
		switch argument := s[word]; word {
		case "$ref":
			name := strings.TrimPrefix(argument.(string), "#/definitions/")
			v.check(v.root["definitions"].(Node)[name].(Node), value, at)
		case "allOf":
			for _, part := range argument.([]any) {
				v.check(part.(Node), value, at)
			}
		case "anyOf", "oneOf":
			held := 0
			for _, part := range argument.([]any) {
				if v.holds(part.(Node), value) {
					held++
				}
			}
			if held == 0 || word == "oneOf" && held > 1 {
				v.errorf(at, "%d of the alternatives hold", held)
			}
		case "const", "enum":
			allowed, isList := argument.([]any)
			if !isList {
				allowed = []any{argument}
			}
			if !slices.Contains(allowed, value) {
				v.errorf(at, "%v is none of %v", value, allowed)
			}
		case "type":
			types, isList := argument.([]any)
			if !isList {
				types = []any{argument}
			}
			if !slices.ContainsFunc(types, func(name any) bool { return isType(name.(string), value) }) {
				v.errorf(at, "expected %v, found %T", argument, value)
			}
		case "pattern":
			if text, ok := value.(string); ok && !regexp.MustCompile(argument.(string)).MatchString(text) {
				v.errorf(at, "%q does not match %s", text, argument)
			}
		case "items":
			if list, ok := value.([]any); ok {
				for i, element := range list {
					v.check(argument.(Node), element, fmt.Sprintf("%s/%d", at, i))
				}
			}
		case "required":
			v.required(argument.([]any), value, at)
		case "properties", "additionalProperties":
			v.properties(s, word, value, at)
		case "$schema", "title", "description", "definitions", "minLength", "minimum", "format":
		default:
			v.errorf(at, "the word %s of the schema is not known", word)
		}
	}
}

func (v *validator) required(keys []any, value any, at string) {
	fields, ok := value.(map[string]any)
	for _, key := range keys {
		if _, given := fields[key.(string)]; ok && !given {
			v.errorf(at, "%s is missing", key)
		}
	}
}

func (v *validator) properties(s Node, word string, value any, at string) {
	fields, _ := value.(map[string]any)
	known, _ := s["properties"].(Node)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		property, isKnown := known[key]
		switch {
		case isKnown && word == "properties":
			v.check(property.(Node), fields[key], at+"/"+key)
		case isKnown || word == "properties":
		case s["additionalProperties"] == false:
			v.errorf(at, "%s is not known", key)
		default:
			v.check(s["additionalProperties"].(Node), fields[key], at+"/"+key)
		}
	}
}

func isType(name string, value any) bool {
	switch value.(type) {
	case map[string]any:
		return name == "object"
	case []any:
		return name == "array"
	case string, time.Time:
		return name == "string"
	case bool:
		return name == "boolean"
	case int, int64:
		return name == "integer" || name == "number"
	case float64:
		return name == "number"
	}
	return name == "null" && value == nil
}
