//go:build !race && !cheaphash

package password

// defaultMemory is what a hash takes at DefaultCost.
const defaultMemory = 46 << 10 // KiB
