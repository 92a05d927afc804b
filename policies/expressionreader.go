package policies

import (
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// An expressionReader goes through a parsed expression, notes the facts that it reads, and refuses what the type checker
// would let pass: names that are none, with the nearest that is; keys, patterns and time zones that are not known before a
// request comes; and facts that a policy has better ways to ask for, or must not see.
type expressionReader struct {
	c        *compiler
	syntax   *expressionSyntax
	ast      *ast.AST
	into     *expression
	resolved map[int64]bool // the parts that were taken for variables, by their id
}

func (r *expressionReader) place(e ast.Expr) strictyaml.Place {
	l := r.ast.SourceInfo().GetStartLocation(e.ID())
	return r.syntax.place(l.Line(), l.Column())
}

func (r *expressionReader) errorf(e ast.Expr, format string, a ...any) {
	r.c.errorf(r.place(e), format, a...)
}

// checkUnread refuses variables that the type checker found and the reader did not, however they may be spelt: nothing that a
// policy reads goes unnoticed.
func (r *expressionReader) checkUnread(checked *ast.AST) {
	for _, id := range slices.Sorted(maps.Keys(checked.ReferenceMap())) {
		if name := checked.ReferenceMap()[id].Name; variables[name] != nil && !r.resolved[id] {
			l := checked.SourceInfo().GetStartLocation(id)
			r.c.errorf(r.syntax.place(l.Line(), l.Column()), "%s is to be written just so", name)
		}
	}
}

// namespaces begin the names of variables.
var namespaces = []string{"request", "token", "user"}

// fieldsOf are the names of the variables of a namespace.
func fieldsOf(namespace string) (fields []string) {
	for name := range maps.Keys(variables) {
		if field, ok := strings.CutPrefix(name, namespace+"."); ok {
			fields = append(fields, field)
		}
	}
	slices.Sort(fields)
	return fields
}

// read reads a part of the expression.
func (r *expressionReader) read(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		switch name := e.AsIdent(); {
		case strings.HasPrefix(name, "."):
			r.errorf(e, "a name stands without a dot before it: %s", name[1:])
		case slices.Contains(namespaces, name):
			r.errorf(e, "%s is no value; ask for one of its fields: %s", name, strings.Join(fieldsOf(name), ", "))
		}
	case ast.LiteralKind:
		r.checkNumber(e)
	case ast.SelectKind:
		r.selection(e)
	case ast.CallKind:
		r.call(e.AsCall(), e)
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			r.read(element)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			r.read(entry.AsMapEntry().Key())
			r.read(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		r.errorf(e, "there are no messages to make here; %s is none", e.AsStruct().TypeName())
	case ast.ComprehensionKind:
		all := e.AsComprehension()
		for _, name := range []string{all.IterVar(), all.IterVar2()} {
			if slices.Contains(namespaces, name) {
				r.errorf(e, "%s has a meaning already; choose another name for the element", name)
			}
		}
		for _, part := range []ast.Expr{all.IterRange(), all.AccuInit(), all.LoopCondition(), all.LoopStep(), all.Result()} {
			r.read(part)
		}
	}
}

// checkNumber refuses a number that others are taken for.
func (r *expressionReader) checkNumber(e ast.Expr) {
	exact := true
	switch n := e.AsLiteral().(type) {
	case types.Int:
		exact = -maxInteger <= n && n <= maxInteger
	case types.Uint:
		exact = n <= maxInteger
	case types.Double:
		exact = isExact(float64(n))
	}
	if !exact {
		r.errorf(e, "%s", msgInexactNumber)
	}
}

// variable is the name of the variable that e stands for, "" where it stands for none.
func (r *expressionReader) variable(e ast.Expr) string {
	if e.Kind() != ast.SelectKind {
		return ""
	}
	s := e.AsSelect()
	if s.Operand().Kind() != ast.IdentKind || !slices.Contains(namespaces, s.Operand().AsIdent()) {
		return ""
	}
	r.resolved[e.ID()] = true
	return s.Operand().AsIdent() + "." + s.FieldName()
}

// isMap reports whether e is a variable that is asked by key.
func (r *expressionReader) isMap(e ast.Expr) bool {
	kind := variables[r.variable(e)]
	return kind != nil && kind.Kind() == types.MapKind
}

func (r *expressionReader) selection(e ast.Expr) {
	s := e.AsSelect()
	name := r.variable(e)
	switch {
	case name == "" && r.isMap(s.Operand()):
		r.key(s.Operand(), s.FieldName(), e)
	case name == "":
		r.read(s.Operand())
	case variables[name] == nil:
		namespace := s.Operand().AsIdent()
		known := fieldsOf(namespace)
		if near := strictyaml.Nearest(s.FieldName(), known); near != "" {
			r.errorf(s.Operand(), "%s has no %s, did you mean %s.%s?", namespace, s.FieldName(), namespace, near)
			return
		}
		r.errorf(s.Operand(), "%s has no %s; there are: %s", namespace, s.FieldName(), strings.Join(known, ", "))
	case r.isMap(e):
		r.errorf(s.Operand(), `%s is asked by name: %s["name"], "name" in %s`, name, name, name)
	case s.IsTestOnly() && name == "request.ip":
		r.errorf(s.Operand(), "has cannot tell whether the address of the client is known; request.ip has no answer where it is not")
	case s.IsTestOnly():
		r.errorf(s.Operand(), `%s is always there; compare it, with "" for a text that is not known`, name)
	case name == "request.ip":
		r.into.reads.Client = true
	case name == "request.path":
		r.into.readsPath = true
	case name == "request.time":
		r.into.reads.Now = true
	case name == "token.issued_at" || name == "token.expires":
		r.into.reads.TokenLifetime = true
	}
}

// timeZoneFunctions are the functions that take a time zone.
var timeZoneFunctions = []string{
	"getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes",
	"getSeconds", "getMilliseconds",
}

var zoneOffset = regexp.MustCompile(`^[+-]([01][0-9]|2[0-3]):[0-5][0-9]$`)

func (r *expressionReader) call(c ast.CallExpr, e ast.Expr) {
	args := c.Args()
	switch name := c.FunctionName(); {
	case strings.HasPrefix(name, "."):
		r.errorf(e, "a name stands without a dot before it: %s", name[1:])
	case name == operators.Index && len(args) == 2 && r.isMap(args[0]):
		r.literalKey(args[0], args[1])
		return
	case name == operators.In && len(args) == 2 && r.isMap(args[1]):
		r.literalKey(args[1], args[0])
		return
	case name == "matches" && len(args) > 0:
		r.checkRegex(args[len(args)-1])
	case slices.Contains(timeZoneFunctions, name) && len(args) == 1 && c.IsMemberFunction():
		if zone, ok := literal(args[0]); !ok || !zoneOffset.MatchString(zone) {
			r.errorf(args[0], `a time zone is written out, as an offset such as "+01:00"`)
		}
	}
	if c.IsMemberFunction() {
		r.read(c.Target())
	}
	for _, arg := range args {
		r.read(arg)
	}
}

// checkRegex checks a regular expression.
func (r *expressionReader) checkRegex(e ast.Expr) {
	text, ok := literal(e)
	if !ok {
		r.errorf(e, "a regular expression is written out, so that it can be checked and compiled beforehand")
		return
	}
	if _, err := syntax.Parse(text, syntax.Perl); err != nil {
		r.errorf(e, "%s", strings.TrimPrefix(err.Error(), "error parsing "))
	}
}

// literal is a text that is written out.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

func (r *expressionReader) literalKey(variable, key ast.Expr) {
	name, ok := literal(key)
	if !ok {
		r.errorf(key, "what is asked of %s is written out, so that it is known what the policy reads", r.variable(variable))
		return
	}
	r.key(variable, name, key)
}

// credentialHeaders are headers that a policy never sees: credentials, which the gateway verifies itself.
var credentialHeaders = []string{"authorization", "cookie", "proxy-authorization", "sec-websocket-protocol"}

// key notes a name that a variable is asked for.
func (r *expressionReader) key(variable ast.Expr, name string, at ast.Expr) {
	reads := &r.into.reads
	switch r.variable(variable) {
	case "request.params":
		r.into.params, r.into.readsPath = append(r.into.params, param{name, r.place(at)}), true
	case "request.query":
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '%' }) {
			r.errorf(at, "%q is no name of a query parameter", name)
		}
		reads.Query = insertSorted(reads.Query, name)
	case "request.headers":
		folded := request.FoldHeader(name)
		canonical, ok := request.CanonicalHeader(name)
		switch {
		case !ok:
			r.errorf(at, "a header's name is of letters, digits and hyphens, found %q", name)
		case folded == "host":
			r.errorf(at, "the host is request.host")
		case slices.Contains(credentialHeaders, folded):
			r.errorf(at, "a policy does not see the header %s; ask for the user or a claim of the token", name)
		case isOfConnection(folded):
			r.errorf(at, "%s belongs to the connection and is never forwarded; a policy cannot rely on it", name)
		case request.IsReservedHeader(folded):
			r.errorf(at, "%s from a client means nothing; ask for user.username, request.ip and their like", name)
		}
		reads.Headers = insertSorted(reads.Headers, canonical)
		r.into.headers = insertSorted(r.into.headers, name)
	case "token.claims":
		reads.Claims = insertSorted(reads.Claims, name)
	}
}

// checkParams refuses parameters that the pattern of a route does not have.
func (c *compiler) checkParams(r *Route, condition *Condition) {
	if x := condition.expression; x != nil && r.segments != nil {
		var known []string
		for _, segment := range r.segments {
			if segment[0] == ':' || segment[0] == '*' {
				known = append(known, segment[1:])
			}
		}
		for _, p := range x.params {
			near := strictyaml.Nearest(p.name, known)
			switch {
			case slices.Contains(known, p.name):
			case near != "":
				c.errorf(p.at, "the pattern %q has no parameter %s, did you mean %s?", r.Pattern, p.name, near)
			default:
				c.errorf(p.at, "the pattern %q has no parameter %s", r.Pattern, p.name)
			}
		}
	}
	for _, of := range condition.Of {
		c.checkParams(r, of)
	}
}

// place is where a line and a column of the expression stand in the file; both as CEL counts them, from 1 and from 0.
func (s *expressionSyntax) place(line, column int) strictyaml.Place {
	characters := column
	for text := range strings.SplitSeq(s.text, "\n") {
		if line--; line < 1 {
			break
		}
		characters += len([]rune(text)) + 1
	}
	return s.inside(characters)
}
