// Package analysis looks at compiled policies as a whole: what can never happen in one (Check), how a request is decided
// and what would have to be otherwise (Explain), whose decisions two of them differ about (Diff), and what no test touches
// (Coverage).
//
// It stands on floor 0 beside package policies and is as pure. Nothing here decides: decisions are made by package policies
// alone, and what is said about them here is proved against it by tests.
//
// # How it looks at all requests at once
//
// A request is a path, a method and somebody. Paths are walked along the patterns, of two hosts at a time where they are
// compared: every segment that some pattern has by name, and one that none has (paths.go). Of methods there are those that
// some route names, and one that none names. Who asks is described by the few things that the conditions at hand ask for,
// each with as many values as they can tell apart (distinctions.go): two roles that always stand in the same lists are one thing,
// and an address is in one of the regions that the networks cut the addresses into. An expression is a thing with the
// values true, false and no answer, the same where its text is the same. Along these, the cases are split until both sides
// are decided (compare.go), which makes the answer complete for all that is not an expression.
package analysis
