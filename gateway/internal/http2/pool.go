package http2

import "sync"

// task is what a goroutine of the pool does.
type task interface{ run() }

// pool keeps goroutines whose stacks have grown, for the next request.
type pool struct {
	mu     sync.Mutex
	parked []chan task // guarded by mu; the last one parked is the first to go on
	users  int         // guarded by mu: connections; nobody is parked where there is none
}

// start runs the task in a goroutine.
func (p *pool) start(t task) {
	p.mu.Lock()
	if last := len(p.parked) - 1; last >= 0 {
		worker := p.parked[last]
		p.parked[last] = nil
		p.parked = p.parked[:last]
		p.mu.Unlock()
		worker <- t
		return
	}
	p.mu.Unlock()
	go p.work(t)
}

func (p *pool) work(t task) {
	t.run()
	next := make(chan task, 1)
	for p.park(next) {
		t, more := <-next
		if !more {
			return
		}
		t.run()
	}
}

func (p *pool) park(next chan task) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 || len(p.parked) == maxParked {
		return false
	}
	p.parked = append(p.parked, next)
	return true
}

// enter says that there is one more connection.
func (p *pool) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
}

// leave says that there is one less.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users > 0 {
		return
	}
	for _, worker := range p.parked {
		close(worker)
	}
	p.parked = nil
}
