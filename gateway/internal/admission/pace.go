package admission

import "time"

// paceWeight is the weight of what was before in the average, of paceWeight+1.
const paceWeight = 7

// pace is how fast slots come free while somebody waits for them (an exponentially weighted moving average).
type pace struct {
	last  time.Time     // when one came free last, or when the queue began; zero while nobody waits
	every time.Duration // 0 before anything is known
}

// begin is when somebody waits after nobody did.
func (p *pace) begin(now time.Time) { p.last = now }

// handed is when a slot was handed to one that waited.
func (p *pace) handed(now time.Time) {
	took := now.Sub(p.last)
	if p.last = now; p.every == 0 {
		p.every = took
		return
	}
	p.every = (paceWeight*p.every + took) / (paceWeight + 1)
}
