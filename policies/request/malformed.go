package request

// Malformed says why a request has no meaning, or more than one. The reason quotes nothing of what was received.
type Malformed struct{ Reason string }

func (m *Malformed) Error() string { return m.Reason }

func malformed(reason string) *Malformed { return &Malformed{Reason: reason} }
