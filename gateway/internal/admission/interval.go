package admission

import "time"

// ewmaWeight is the weight of what was before in the average, of ewmaWeight+1.
const ewmaWeight = 7

// slotInterval is the interval at which slots come free while requests are queued: an exponentially weighted moving average (EWMA).
type slotInterval struct {
	last    time.Time     // when one came free last, or when the queue began; zero while it is empty
	average time.Duration // 0 before anything is known
}

// begin is when the first request enters an empty queue.
func (i *slotInterval) begin(now time.Time) { i.last = now }

// observe is when a slot was handed to one that waited.
func (i *slotInterval) observe(now time.Time) {
	took := now.Sub(i.last)
	if i.last = now; i.average == 0 {
		i.average = took
		return
	}
	i.average = (ewmaWeight*i.average + took) / (ewmaWeight + 1)
}
