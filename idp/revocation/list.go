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
	// Reject says that n entries were forged, each time they are met.
	Reject(n int)
}

// neverStale is as of when a view is complete that nobody else can change.
var neverStale = time.Unix(1<<40, 0)

// The backoff of Run after a log could not be followed.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

// purgeInterval is how often what has expired is dropped.
const purgeInterval = time.Minute

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
	// LastSync is when the view was last in sync with the log; zero before the first time. A list with an embedded log is always complete
	// as of now.
	LastSync time.Time
	// Rejected counts the forged entries, each time one was met.
	Rejected uint64
	// SyncWaits counts how often requests waited for a view that was confirmed lately, those that waited together once;
	// SyncTimeouts, how often in vain.
	SyncWaits, SyncTimeouts uint64
}

// A List is one process's view of what is revoked. It is safe for concurrent use.
type List struct {
	log          Log
	now          func() time.Time
	logger       *slog.Logger
	maxStaleness time.Duration

	table       *table
	lastSync    atomic.Pointer[time.Time]
	unconfirmed gate
	rejected    atomic.Uint64
	failure     atomic.Pointer[error] // why the log could not be followed, and was not heard of since; nil otherwise

	// forgedLoggedAt is when forged entries were last written to the log. Only Follow's goroutine uses it.
	forgedLoggedAt time.Time
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
	l.unconfirmed.now, l.unconfirmed.begun = l.now, make(chan struct{}, 1)
	return l
}

// Run keeps the list current until ctx ends, and then returns nil. It is to be called once.
func (l *List) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { l.purge(ctx) })
	defer tasks.Wait()
	defer stop()
	backoff := minBackoff
	for {
		before := l.lastSync.Load()
		err := l.log.Follow(ctx, sink{l})
		if ctx.Err() != nil {
			return nil
		}
		if l.lastSync.Load() != before {
			backoff = minBackoff
		}
		if l.failure.Swap(&err) == nil {
			l.logger.Warn("revocation log unreachable; retrying with backoff", "error", err)
		}
		if !sleepUntil(ctx, backoff, l.unconfirmed.begun) { // a request that waits is no time to rest
			return nil
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// purge drops what has expired, until ctx ends.
func (l *List) purge(ctx context.Context) {
	for sleep(ctx, purgeInterval) {
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

// Notify has f told from now on of each entry that the list did not know, or that says more than it knew, whether this process
// publishes it or hears of it. Then the list knows it already. f is called in the middle of that, one entry after another: it has to return at
// once, may ask the list but not change it, and makes nobody wait. It is to be called once, before Run, by whoever has to
// act on what arrives: who asks about single tokens does not need it.
func (l *List) Notify(f func(Entry)) {
	l.table.notify(func(added fact) { f(added.entry()) })
}

// Revoked reports whether a token is revoked: itself, its session, or everything that its session or its subject was issued
// when it was. What the token does not carry is empty.
func (l *List) Revoked(issuer, jti, sid, sub string, iat time.Time) bool {
	if l.HandleRevoked(issuer, jti, sid, iat) {
		return true
	}
	if sub == "" {
		return false
	}
	f := l.table.find(Subject, issuer, SubjectID(sub))
	return f != nil && iat.Unix() <= f.cutoff
}

// HandleRevoked is Revoked without the subject: whether nothing of a token counts any more, not even as the handle of a session
// that goes on. A subject's cutoff may have left the session alive.
func (l *List) HandleRevoked(issuer, jti, sid string, iat time.Time) bool {
	if jti != "" && l.table.find(Token, issuer, jti) != nil {
		return true
	}
	if sid == "" {
		return false
	}
	if l.table.find(Session, issuer, sid) != nil {
		return true
	}
	f := l.table.find(SessionTokens, issuer, sid)
	return f != nil && iat.Unix() <= f.cutoff
}

// SessionRevoked reports whether a session is revoked.
func (l *List) SessionRevoked(issuer, sid string) bool {
	return l.table.find(Session, issuer, sid) != nil
}

// SubjectCutoff returns the cutoff up to which everything is revoked that the subject was issued, in whole seconds. An
// issuer dates nothing for the subject at or before it.
func (l *List) SubjectCutoff(issuer, sub string) (time.Time, bool) {
	f := l.table.find(Subject, issuer, SubjectID(sub))
	if f == nil {
		return time.Time{}, false
	}
	return time.Unix(f.cutoff, 0), true
}

// SessionCutoff returns the cutoff up to which everything is revoked that the session was issued, in whole seconds.
func (l *List) SessionCutoff(issuer, sid string) (time.Time, bool) {
	f := l.table.find(SessionTokens, issuer, sid)
	if f == nil {
		return time.Time{}, false
	}
	return time.Unix(f.cutoff, 0), true
}

// Ready reports whether the list has ever had a complete view.
func (l *List) Ready() bool { return l.lastSync.Load() != nil }

// Stale reports whether the view is older than it may be.
func (l *List) Stale(now time.Time) bool {
	contact := l.lastSync.Load()
	return contact == nil || age(*contact, now) > l.maxStaleness
}

// AwaitSync waits a moment for news where the view was not confirmed for two seconds: what was revoked while this process
// was frozen is not known to it, however young MaxStaleness would let the view seem. It returns at once where the log was
// heard from lately, or where it was waited for in vain in the last two seconds. Who believes a credential calls it first,
// and then asks [List.Stale].
func (l *List) AwaitSync(now time.Time) {
	if !l.confirmed(now) {
		l.unconfirmed.wait(syncTimeout, l.confirmed)
	}
}

// confirmed reports whether the view is young enough to be believed as it is.
func (l *List) confirmed(now time.Time) bool {
	contact := l.lastSync.Load()
	return contact != nil && age(*contact, now) <= min(maxUnconfirmed, l.maxStaleness)
}

// Failure is why the log cannot be followed; nil while it is.
func (l *List) Failure() error {
	if failure := l.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

// Stats returns what there is to say about the list now.
func (l *List) Stats() Stats {
	s := Stats{
		Entries: l.table.len(), Rejected: l.rejected.Load(),
		SyncWaits: l.unconfirmed.waits.Load(), SyncTimeouts: l.unconfirmed.timeouts.Load(),
	}
	if contact := l.lastSync.Load(); contact != nil {
		s.LastSync = *contact
		if s.LastSync.Equal(neverStale) {
			s.LastSync = l.now()
		}
	}
	return s
}

// sink is a list as its log sees it.
type sink struct{ *List }

func (s sink) Now() time.Time { return s.now() }

func (s sink) Apply(entries []Entry, asOf time.Time) {
	s.addUnexpired(entries)
	s.markSynced(asOf)
}

// addUnexpired adds the entries that have not expired, and returns them.
func (s sink) addUnexpired(entries []Entry) []fact {
	now := s.now().Unix()
	added := make([]fact, 0, len(entries))
	for _, e := range entries {
		f, err := e.fact()
		switch {
		case err != nil:
			s.Reject(1)
		case f.expires > now:
			added = append(added, f)
		}
	}
	s.table.add(added...)
	return added
}

func (s sink) markSynced(asOf time.Time) {
	s.lastSync.Store(&asOf)
	if s.confirmed(s.now()) {
		s.unconfirmed.open()
	}
	if s.failure.Swap(nil) != nil {
		s.logger.Info("revocation log followed again")
	}
}

func (s sink) Reconcile(held []Entry, asOf time.Time) (lacking []Entry) {
	added := s.addUnexpired(held)
	s.markSynced(asOf)
	known := make(map[fact]struct{}, len(added))
	for _, f := range added {
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

// forgedLogInterval is how often forged entries are worth a line, however many there are.
const forgedLogInterval = time.Minute

func (s sink) Reject(n int) {
	total := s.rejected.Add(uint64(n))
	if now := s.now(); s.forgedLoggedAt.IsZero() || age(s.forgedLoggedAt, now) >= forgedLogInterval {
		s.forgedLoggedAt = now
		s.logger.Warn("forged revocations rejected (bad MAC): somebody writes to the log who does not know this secret", "total", total)
	}
}

// sleep waits for a while, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool { return sleepUntil(ctx, d, nil) }

// sleepUntil is sleep that ends early when something comes.
func sleepUntil(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-early:
		return true
	}
}
