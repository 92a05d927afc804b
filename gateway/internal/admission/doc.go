// Package admission bounds how many requests are under way: at an upstream, where more wait in a short queue, and of one client and
// of all at all upstreams, where more are refused.
//
// It belongs to gateway, and is on its floor. It knows neither addresses nor connections: what a request needs besides a slot is
// taken by who asks. Files, from the lowest:
//
//   - client.go: whom requests are counted for.
//   - clients.go: bounds of one client and of all, at all upstreams.
//   - interval.go: how fast slots come free (EWMA).
//   - breaker.go: when an upstream that fails is asked no more.
//   - queue.go: who waits, by client, in turn (round robin).
//   - gate.go: the slots of one upstream, and who is given them.
//   - table.go: the gates of all upstreams, which outlive generations.
//
// # Overload
//
// A slot that comes free is handed to one that waits, so that nobody wakes in vain and none is idle while somebody waits. Clients
// have their turns, and of one client's the oldest is first (FIFO). Nobody waits for longer than the queue's timeout, who would is
// refused at once where that can be told from how fast slots come free, and who has gone leaves it; so what the oldest has waited is never more
// than what somebody waits for, which is what newest first (LIFO) is for elsewhere, where queues are long. LIFO would starve the
// oldest, and with it whoever asked first.
//
// # Breaker
//
// Where that is asked for, an upstream of which so many requests in a row failed is asked no more for a while, and then by one
// request at a time until one succeeds. Whoever waits when it opens is refused. What a failure is, is for who tells it.
//
// # Fairness
//
// One client has at most half of the slots, so that what hangs for it does not hang for everybody. The queue is anybody's while
// there is room; when it is full, the newest of the client with the most that wait makes room for one with fewer.
package admission
