//go:build race

package password

// defaultMemory is what a hash takes at DefaultCost in a program that is built with the race detector, which is for tests
// alone. The detector keeps twice the memory beside it, so that a hash of 46 MiB would take some ten times as long as it does
// without; this one takes about as long as that.
const defaultMemory = 8 << 10 // KiB
