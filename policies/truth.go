package policies

// A Truth is what a condition comes to, in three-valued (Kleene) logic. Errors are no answer, neither yes nor no: what is not known opens no door, behind
// a not either.
type Truth uint8

// The truths, so that all is the least of them and any the greatest.
const (
	False Truth = iota + 1
	Unknown
	True
)

// An evaluation is what conditions are asked about.
type evaluation struct {
	facts    Facts
	id       *Identity // nil if anonymous
	segments []string  // of the route's pattern
	// afterStepUp is the question whether it would hold if this person had just signed in again, with a second factor.
	afterStepUp bool
	made        map[madeMap]any // the maps that expressions have asked for; nil before any does
}

// A madeMap names a map that expressions ask for, by the variable and the text of the expression, which says what of it is
// read; "" where it is the same for all of them.
type madeMap struct{ variable, expression string }

func toTruth(b bool) Truth {
	if b {
		return True
	}
	return False
}
