package revocation

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A Log keeps entries for longer than a process lives, and for other processes. It is safe for concurrent use.
type Log interface {
	// Append returns nil once the entries are durable, and an error within about two seconds when they may not be. What
	// the log holds already may be appended again.
	Append(ctx context.Context, entries []Entry) error
	// Follow tells the sink everything that the log holds, and from then on what is added. It returns when ctx ends or
	// it cannot go on; whoever called it calls it again.
	Follow(ctx context.Context, to Sink) error
}

// A Sink is where a log tells what it knows. Its methods are called by one goroutine at a time.
type Sink interface {
	// Now is the clock of everything that the log tells.
	Now() time.Time
	// Apply adds entries, after which the sink knows all that the log held at asOf.
	Apply(entries []Entry, asOf time.Time)
	// Reconcile is Apply for all that the log holds, and returns what it lacks: what the sink knows besides.
	Reconcile(held []Entry, asOf time.Time) (lacking []Entry)
	// Refuse says that n entries were forged, each time they are met.
	Refuse(n int)
}

// always is as of when a view is complete that nobody else can change.
var always = time.Unix(1<<40, 0)

// How long Run waits before it follows a log again that it could not.
const (
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
)

// purgeEvery is how often what has expired is dropped.
const purgeEvery = time.Minute

// Options say how a list behaves.
type Options struct {
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Log is told when the log cannot be followed, and of forged entries. Optional.
	Log *slog.Logger
	// MaxStaleness is how old the view may be. Optional: 30 s.
	MaxStaleness time.Duration
}

// Stats are what there is to say about a list.
type Stats struct {
	// Entries is how many entries the list has in memory.
	Entries int
	// Contact is as of when the view is complete; zero before the first. A list with an embedded log is always complete
	// as of now.
	Contact time.Time
	// Refused counts the forged entries, each time one was met.
	Refused uint64
}

// A List is one process's view of what is revoked. It is safe for concurrent use.
type List struct {
	log          Log
	now          func() time.Time
	logger       *slog.Logger
	maxStaleness time.Duration

	table   *table
	contact atomic.Pointer[time.Time]
	refused atomic.Uint64
	failing atomic.Bool // the log could not be followed, and was not heard of since

	// refusal is when forged entries were last written to the log. Only Follow's goroutine uses it.
	refusal time.Time
}

// NewList returns a list that is empty and stale until [List.Run] has heard from the log.
func NewList(log Log, o Options) *List {
	l := &List{log: log, now: o.Now, logger: o.Log, maxStaleness: o.MaxStaleness, table: newTable()}
	if l.now == nil {
		l.now = time.Now
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	if l.maxStaleness == 0 {
		l.maxStaleness = 30 * time.Second
	}
	return l
}

// Run keeps the list current until ctx ends, and then returns nil. It is to be called once.
func (l *List) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { l.purge(ctx) })
	defer tasks.Wait()
	defer stop()
	pause := shortestPause
	for {
		before := l.contact.Load()
		err := l.log.Follow(ctx, sink{l})
		if ctx.Err() != nil {
			return nil
		}
		if l.contact.Load() != before {
			pause = shortestPause
		}
		if !l.failing.Swap(true) {
			l.logger.Warn("the revocation log cannot be followed; it is tried again until it can", "error", err)
		}
		if !wait(ctx, pause) {
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}

// purge drops what has expired, until ctx ends.
func (l *List) purge(ctx context.Context) {
	for wait(ctx, purgeEvery) {
		l.table.purge(l.now().Unix())
	}
}

// Publish revokes what the entries name. It returns nil once the log has acknowledged all of them, and from then on this
// list knows them too. After an error they may or may not be revoked; publishing them again does no harm.
func (l *List) Publish(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	checked, err := facts(entries)
	if err != nil {
		return err
	}
	if err := l.log.Append(ctx, entries); err != nil {
		return err
	}
	l.table.add(checked...)
	return nil
}

// Revoked reports whether a token is revoked: itself, its session, or everything that its subject was issued when it was.
// What the token does not carry is empty.
func (l *List) Revoked(issuer, jti, sid, sub string, iat time.Time) bool {
	if jti != "" && l.table.find(Token, issuer, jti) != nil {
		return true
	}
	if sid != "" && l.table.find(Session, issuer, sid) != nil {
		return true
	}
	if sub == "" {
		return false
	}
	f := l.table.find(Subject, issuer, sub)
	return f != nil && iat.Unix() <= f.moment
}

// SessionRevoked reports whether a session is revoked.
func (l *List) SessionRevoked(issuer, sid string) bool {
	return l.table.find(Session, issuer, sid) != nil
}

// SubjectMoment returns the moment up to which everything is revoked that the subject was issued, in whole seconds. An
// issuer dates nothing for the subject at or before it.
func (l *List) SubjectMoment(issuer, sub string) (time.Time, bool) {
	f := l.table.find(Subject, issuer, sub)
	if f == nil {
		return time.Time{}, false
	}
	return time.Unix(f.moment, 0), true
}

// Ready reports whether the list has ever had a complete view.
func (l *List) Ready() bool { return l.contact.Load() != nil }

// Stale reports whether the view is older than it may be.
func (l *List) Stale(now time.Time) bool {
	contact := l.contact.Load()
	return contact == nil || age(*contact, now) > l.maxStaleness
}

// age is how long ago something was by the wall clock or the monotonic one, whichever says longer: the one can be set
// back, the other stands still while the machine sleeps.
func age(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

// Stats returns what there is to say about the list now.
func (l *List) Stats() Stats {
	s := Stats{Entries: l.table.len(), Refused: l.refused.Load()}
	if contact := l.contact.Load(); contact != nil {
		s.Contact = *contact
		if s.Contact.Equal(always) {
			s.Contact = l.now()
		}
	}
	return s
}

// sink is a list as its log sees it.
type sink struct{ *List }

func (s sink) Now() time.Time { return s.now() }

func (s sink) Apply(entries []Entry, asOf time.Time) {
	s.learn(entries)
	s.heard(asOf)
}

// learn adds the entries that have not expired, and returns them.
func (s sink) learn(entries []Entry) []fact {
	now := s.now().Unix()
	news := make([]fact, 0, len(entries))
	for _, e := range entries {
		f, err := e.fact()
		switch {
		case err != nil:
			s.Refuse(1)
		case f.expires > now:
			news = append(news, f)
		}
	}
	s.table.add(news...)
	return news
}

func (s sink) heard(asOf time.Time) {
	s.contact.Store(&asOf)
	if s.failing.Swap(false) {
		s.logger.Info("the revocation log is followed again")
	}
}

func (s sink) Reconcile(held []Entry, asOf time.Time) (lacking []Entry) {
	news := s.learn(held)
	s.heard(asOf)
	known := make(map[fact]struct{}, len(news))
	for _, f := range news {
		known[f] = struct{}{}
	}
	now := s.now().Unix()
	s.table.each(func(f fact) {
		if _, ok := known[f]; !ok && f.expires > now {
			lacking = append(lacking, f.entry())
		}
	})
	return lacking
}

// refusalEvery is how often forged entries are worth a line, however many there are.
const refusalEvery = time.Minute

func (s sink) Refuse(n int) {
	total := s.refused.Add(uint64(n))
	if now := s.now(); s.refusal.IsZero() || age(s.refusal, now) >= refusalEvery {
		s.refusal = now
		s.logger.Warn("forged revocations were refused: somebody writes to the log who does not know this secret", "total", total)
	}
}

// wait waits for a while, and reports whether ctx has not ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
