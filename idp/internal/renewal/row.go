package renewal

import "time"

// Times are the lifetimes that the rules depend on.
type Times struct {
	// TTL is how long an access token holds.
	TTL time.Duration
	// Grace is how long a predecessor counts after its successor was delivered.
	Grace time.Duration
	// Max is how long a session is renewed without its browser being seen at the login host.
	Max time.Duration
}

// settled is how long a token stays the current one: requests that are answered together give one token. It is at most half of
// its life.
func (t Times) settled() time.Duration { return min(t.Grace, t.TTL/2) }

// A Handle is what the row needs to know of a token whose signature is good.
type Handle struct {
	ID     string // its jti
	Issued int64  // its iat, in seconds since 1970
}

// A Row is what is known of the tokens of a session.
type Row struct {
	Current   string    // the jti of the latest; "" where there is none yet
	Issued    int64     // its iat
	Previous  string    // the jti whose holder was given the current one; "" where only the login host gave it
	Given     time.Time // when the current one was last given
	Delivered time.Time // when it is known to have reached the browser; zero where it is not
	Returned  bool      // it was presented here since
	Cutoff    int64     // what was issued in this second or earlier counts no more
	Seen      time.Time // when the session's own cookie was last seen at the login host

	// SubjectCutoff is what the subject's tokens, issued in this second or earlier, expired at. It is the revocation list's, and not
	// kept with the row.
	SubjectCutoff int64
}

// expired reports whether the current token was revoked and the session was not: nobody has use for a copy.
func (r Row) expired() bool { return r.Issued <= max(r.Cutoff, r.SubjectCutoff) }

// HandleState is what a handle is worth.
type HandleState uint8

// The states of a handle.
const (
	// Stale: another token has taken its place, or the row knows none yet.
	Stale HandleState = iota
	// Void: it was issued before the cutoff.
	Void
	// Current: it is the latest.
	Current
	// Predecessor: it is the one before, and its holder may not have the latest yet.
	Predecessor
	// Ahead: it was issued later than the latest that the row knows, which has lost something.
	Ahead
)

// Valid reports whether the handle stands for its session.
func (s HandleState) Valid() bool { return s >= Current }

// State judges a handle. It changes nothing.
func (r Row) State(h Handle, now time.Time, t Times) HandleState {
	switch {
	case r.Current == "" || h.ID == "":
		return Stale
	case h.Issued <= r.Cutoff:
		return Void
	case h.ID == r.Current:
		return Current
	case h.ID == r.Previous && (r.Delivered.IsZero() || now.Sub(r.Delivered) <= t.Grace):
		return Predecessor
	case h.Issued > r.Issued:
		return Ahead
	}
	return Stale
}

// returned notes that the browser has the current token.
func (r Row) returned(now time.Time) Row {
	if r.Delivered.IsZero() {
		r.Delivered = now
	}
	return r
}

// adopt makes a handle that is ahead the current one.
func (r Row) adopt(h Handle, now time.Time) Row {
	r.Current, r.Issued, r.Previous, r.Given, r.Delivered, r.Returned = h.ID, h.Issued, "", now, now, true
	return r
}

// issue makes a new token the current one.
func (r Row) issue(id, previous string, now time.Time) Row {
	r.Current, r.Issued, r.Previous, r.Given, r.Delivered, r.Returned = id, r.NextIssued(now), previous, now, time.Time{}, false
	return r
}

// NextIssued is the iat of a new token: later than that of the one before, and than every cutoff.
func (r Row) NextIssued(now time.Time) int64 {
	return max(now.Unix(), max(r.Issued, r.Cutoff, r.SubjectCutoff)+1)
}

// Check judges a handle that was presented, and notes what that shows. A session whose browser was not seen for longer than
// Times.Max is not renewed; see [Row.Seen].
func (r Row) Check(h Handle, now time.Time, t Times) (Row, HandleState) {
	s := r.State(h, now, t)
	switch s {
	case Current:
		r = r.returned(now)
		r.Returned = true
	case Predecessor:
		r.Delivered = time.Time{} // not to this holder, or not yet
	case Ahead:
		r = r.adopt(h, now)
	}
	return r, s
}

// Rotate gives a token in the place of the handle, where one is due: the current token of the row that it returns. id is the
// jti of a new one.
func (r Row) Rotate(h Handle, id string, now time.Time, t Times) (next Row, standing HandleState, give bool) {
	r, standing = r.Check(h, now, t)
	switch {
	case standing == Predecessor:
		r.Given = now
		return r, standing, true
	case standing != Current || now.Sub(r.Given) < t.settled() && !r.expired():
		return r, standing, false
	}
	return r.issue(id, h.ID, now), standing, true
}

// MarkDelivered notes that the token of a jti has reached the browser, as far as a gateway can know.
func (r Row) MarkDelivered(id string, now time.Time) Row {
	if id == r.Current {
		r = r.returned(now)
	}
	return r
}

// Login gives the session's own browser, at the login host, a token: the current one of the row that it returns. The handle is
// of this session, or zero where the browser brings none. replaced reports that the handle's place was taken by somebody else:
// what the session was issued until the new row's cutoff is to be revoked.
func (r Row) Login(h Handle, id string, now time.Time, t Times) (next Row, replaced bool) {
	r.Seen = now
	r, standing := r.Check(h, now, t)
	usable := r.Current != "" && !r.expired() && now.Before(time.Unix(r.Issued, 0).Add(t.TTL))
	held := usable && now.Sub(r.Given) < t.settled()
	alone := held && r.Previous == "" // other tabs of the browser were just given it
	switch {
	case standing == Predecessor && usable, alone, standing == Current && held:
		r.Given = now
		return r, false
	case standing.Valid(): // also of a predecessor whose successor has expired: a copy of that is of no use
		return r.issue(id, h.ID, now), false
	case standing == Stale && h.ID != "" && r.Current != "":
		r.Cutoff = max(now.Unix(), r.Issued, r.Cutoff)
		return r.issue(id, "", now), true
	}
	return r.issue(id, "", now), false
}
