//go:build race || cheaphash

package password

// defaultMemory is what a hash takes at DefaultCost in programs that are for tests alone: such as are built with the race
// detector, which keeps twice the memory beside it, so that a hash of 46 MiB would take some ten times as long as it does
// without (this one takes about as long as that), and such as share their users with them (the build tag cheaphash).
const defaultMemory = 8 << 10 // KiB
