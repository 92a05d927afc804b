package policies

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"

	"github.com/viloforge/vilogate/idp/token/names"
)

// newEnvironment is what expressions are checked against.
func newEnvironment() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(maxNesting),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateComprehensionNestingLimit(2),
		),
	}
	for name, kind := range variables {
		options = append(options, cel.Variable(name, kind))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("the environment of expressions: %w", err)
	}
	return env, nil
}

// expression compiles an expression; nil where something is wrong with it.
func (c *compiler) expression(s *expressionSyntax) *expression {
	if c.env == nil {
		env, err := newEnvironment()
		if err != nil {
			c.errorf(s.at, "%v", err)
			return nil
		}
		c.env = env
	}
	e := &expression{text: s.text}
	before := len(c.errs)
	if strings.TrimSpace(s.text) == "" {
		c.errorf(s.at, "the expression is empty")
		return nil
	}
	parsed, issues := c.env.Parse(s.text)
	if issues.Err() != nil {
		c.issues(s, issues)
		return nil
	}
	reader := &expressionReader{c: c, syntax: s, ast: parsed.NativeRep(), into: e, resolved: map[int64]bool{}}
	reader.read(parsed.NativeRep().Expr())
	if len(c.errs) > before {
		return nil
	}
	checked, issues := c.env.Check(parsed)
	if issues.Err() != nil {
		c.issues(s, issues)
		return nil
	}
	if reader.checkUnread(checked.NativeRep()); len(c.errs) > before {
		return nil
	}
	if checked.OutputType() != types.BoolType {
		c.errorf(s.at, "an expression is true or false, and this one is of type %s; compare it with something", checked.OutputType())
		return nil
	}
	estimate, err := c.env.EstimateCost(checked, sizeEstimator{})
	switch {
	case err != nil:
		c.errorf(s.at, "estimating the cost: %v", err)
	case estimate.Max > maxCost:
		c.errorf(s.at, "the expression may cost more than it may: %s of %d", costText(estimate.Max), maxCost)
	}
	e.program, err = c.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		c.errorf(s.at, "%s", oneLine(err.Error()))
	}
	if len(c.errs) > before {
		return nil
	}
	return e
}

func costText(units uint64) string {
	if units == math.MaxUint64 {
		return "without a bound"
	}
	return fmt.Sprintf("%d", units)
}

// issues reports what the parser or the type checker found, at its place in the file.
func (c *compiler) issues(s *expressionSyntax, issues *cel.Issues) {
	for _, issue := range issues.Errors() {
		at := s.at
		if issue.Location.Line() > 0 {
			at = s.place(issue.Location.Line(), issue.Location.Column())
		}
		c.errorf(at, "%s", oneLine(strings.TrimSuffix(issue.Message, " (in container '')")))
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// sizeEstimator estimates the sizes that are not known before a request comes.
type sizeEstimator struct{}

// EstimateSize implements cost.Estimator.
func (sizeEstimator) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	if element.ComputedSize() != nil {
		return nil
	}
	switch kind := element.Type().Kind(); {
	case kind == types.ListKind || kind == types.MapKind:
		return &cost.SizeEstimate{Max: maxElements}
	case slices.Contains(element.Path(), "@items"): // many long ones do not fit into a token
		return &cost.SizeEstimate{Max: names.MaxRole}
	}
	return &cost.SizeEstimate{Max: maxValue}
}

// EstimateCallCost implements cost.Estimator: CEL's own functions cost what CEL says.
func (sizeEstimator) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
