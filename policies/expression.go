package policies

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// An expression is a compiled when:, in CEL. It is safe for concurrent use.
type expression struct {
	text    string
	program cel.Program
	reads   Reads
	headers []string // as the expression writes their names
	params  []param

	readsPath bool // request.path, or a parameter
}

// A param is a parameter of the pattern that an expression reads.
type param struct {
	name string
	at   strictyaml.Place
}

// What an expression may be and may cost. The cost is counted in CEL's own units, of which a comparison is one and the
// reading of ten characters another; it is estimated when the expression is compiled, for values as long as maxValue, and
// counted while it is evaluated.
const (
	maxExpression = 4096 // characters
	maxNodes      = 2000
	maxNesting    = 50
	maxRegex      = 1000 // instructions of the compiled one
	maxCost       = 100_000
	maxValue      = 8192 // bytes of a text
	maxElements   = 1024 // of a list or map
)

// variables are what an expression can ask for. They are resolved one by one, when they are asked for.
var variables = map[string]*cel.Type{
	"user.username":  cel.StringType, // as X-User has it
	"user.id":        cel.StringType,
	"user.email":     cel.StringType, // "" unless it is verified
	"user.roles":     cel.ListType(cel.StringType),
	"user.issuer":    cel.StringType,
	"user.amr":       cel.ListType(cel.StringType),
	"user.auth_time": cel.TimestampType,
	"user.mfa_time":  cel.TimestampType,

	"request.host":    cel.StringType,
	"request.path":    cel.StringType, // canonical, as it is forwarded
	"request.method":  cel.StringType,
	"request.ip":      cel.StringType, // no answer where nobody knows it
	"request.time":    cel.TimestampType,
	"request.params":  cel.MapType(cel.StringType, cel.StringType),
	"request.query":   cel.MapType(cel.StringType, cel.StringType),
	"request.headers": cel.MapType(cel.StringType, cel.StringType),

	"token.issuer":    cel.StringType,
	"token.bearer":    cel.BoolType,
	"token.issued_at": cel.TimestampType,
	"token.expires":   cel.TimestampType,
	"token.claims":    cel.MapType(cel.StringType, cel.DynType),
}

// exceedsLimits reports whether a text, or one in a list or map, is longer than the estimate of the cost took for granted, or a list
// or map has more elements.
func exceedsLimits(value any) bool {
	switch v := value.(type) {
	case string:
		return len(v) > maxValue
	case []string:
		return len(v) > maxElements || slices.ContainsFunc(v, func(s string) bool { return len(s) > maxValue })
	case []any:
		return len(v) > maxElements || slices.ContainsFunc(v, exceedsLimits)
	case map[string]string:
		for name, s := range v {
			if len(name) > maxValue || len(s) > maxValue {
				return true
			}
		}
		return len(v) > maxElements
	case map[string]any:
		for name, element := range v {
			if len(name) > maxValue || exceedsLimits(element) {
				return true
			}
		}
		return len(v) > maxElements
	}
	return false
}

// evaluate is what an expression comes to. An error, such as a key that is not there, is no answer.
func (x *expression) evaluate(e *evaluation) (Truth, error) {
	if e.made == nil && x.readsMaps() {
		e.made = map[madeMap]any{}
	}
	value, _, err := x.program.Eval(&activation{expression: x, facts: e.facts, id: e.id, segments: e.segments, made: e.made})
	if err != nil {
		return Unknown, fmt.Errorf("evaluating %q: %w", x.text, err)
	}
	return toTruth(value == types.True), nil
}

// An activation gives an expression what it asks for, and makes nothing that it does not.
type activation struct {
	expression *expression
	facts      Facts
	id         *Identity
	segments   []string        // of the pattern
	made       map[madeMap]any // of the evaluation; nil where no map is read
}

// readsMaps reports whether the expression asks for a variable that has to be made.
func (x *expression) readsMaps() bool {
	return len(x.params)+len(x.reads.Query)+len(x.reads.Headers)+len(x.reads.Claims) > 0
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation. What is longer than it may be has no value. Maps are made once a decision, however
// often they are mentioned.
func (a *activation) ResolveName(name string) (any, bool) {
	kind := variables[name]
	if kind == nil || kind.Kind() != types.MapKind {
		return a.resolve(name)
	}
	key := madeMap{variable: name, expression: a.expression.text}
	if name == "request.params" {
		key.expression = ""
	}
	if value, ok := a.made[key]; ok {
		return value, true
	}
	value, ok := a.resolve(name)
	a.made[key] = value
	return value, ok
}

func (a *activation) resolve(name string) (any, bool) {
	value, ok := a.value(name)
	if exceedsLimits(value) {
		return types.NewErr("%s has a text of more than %d bytes, or more than %d elements", name, maxValue, maxElements), true
	}
	return value, ok
}

func (a *activation) value(name string) (any, bool) {
	id := a.id
	if id == nil {
		id = &Identity{}
	}
	switch name {
	case "user.username":
		return id.User, true
	case "user.id":
		return id.Subject, true
	case "user.email":
		if !id.EmailVerified {
			return "", true
		}
		return id.Email, true
	case "user.roles":
		return id.Roles, true
	case "user.issuer", "token.issuer":
		return id.Issuer, true
	case "user.amr":
		return id.AMR, true
	case "user.auth_time":
		return id.AuthTime, true
	case "user.mfa_time":
		return id.SecondFactor(), true
	case "token.bearer":
		return id.Bearer, true
	case "token.issued_at":
		return id.IssuedAt, true
	case "token.expires":
		return id.Expires, true
	case "token.claims":
		return a.claims(id), true
	}
	return a.request(name)
}

func (a *activation) request(name string) (any, bool) {
	f := &a.facts
	switch name {
	case "request.host":
		return string(f.Host), true
	case "request.path":
		return f.Path.String(), true
	case "request.method":
		return f.Method, true
	case "request.ip":
		if !f.Client.IsValid() {
			return types.NewErr("nobody knows the address of the client"), true
		}
		return f.Client.Unmap().WithZone("").String(), true
	case "request.time":
		return f.Now, true
	case "request.params":
		return params(a.segments, f.Path), true
	case "request.query":
		values, err := request.ReadQuery(f.Query, a.expression.reads.Query)
		if err != nil { // Decide has refused it before
			return types.WrapErr(err), true
		}
		return values, true
	case "request.headers":
		return a.headers(), true
	}
	return nil, false
}

// headers are those that the expression reads, under the names that it uses. Decide has refused those with several lines.
func (a *activation) headers() map[string]string {
	values := map[string]string{}
	if a.facts.Header == nil {
		return values
	}
	for _, name := range a.expression.headers {
		if lines := a.facts.Header.Values(name); len(lines) > 0 {
			values[name] = lines[0]
		}
	}
	return values
}

func (a *activation) claims(id *Identity) map[string]any {
	values := map[string]any{}
	if id.Claims == nil {
		return values
	}
	for _, name := range a.expression.reads.Claims {
		if value, ok := id.Claims.Claim(name); ok {
			values[name] = value
		}
	}
	return values
}
