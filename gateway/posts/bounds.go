package posts

import "time"

// What is kept at most.
const (
	// Lifetime is how long a post is kept.
	Lifetime = 10 * time.Minute
	// PerBrowser is how many posts of one browser are kept at once: of one session, or of one subject where its issuer has
	// no sessions.
	PerBrowser = 8
	// Total bounds all posts together, in bytes: those of a process, or of a fleet.
	Total = 64 << 20
	// Overhead is what a store counts for each post besides its bytes.
	Overhead = 512
)
