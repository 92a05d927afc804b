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
}

func toTruth(b bool) Truth {
	if b {
		return True
	}
	return False
}
