package renewal

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// A model is one session, its browser, and perhaps a thief who copied its cookie once, with all that can happen between them in
// some order: requests answered late, in another order or never, at gateways that hear of revocations late or at once.
type model struct {
	t      *testing.T
	random *rand.Rand
	times  Times
	now    time.Time
	row    Row
	ids    int
	ends   map[string]int64 // exp by jti
	issued map[string]int64
	cutoff int64 // that gateways know

	browser, thief string            // the jti in each jar; "" for none
	flying         []flight          // answers on their way
	successors     map[string]string // by handle: what it was exchanged for
	story          []string
	accused        bool // the login host concluded that a copy was used
	withoutThief   bool
}

// flight is an answer that carries a cookie to a jar.
type flight struct {
	thief bool
	id    string
	left  time.Time
}

// maxFlight is how long an answer is on its way at most, once its header has left: less than the grace, and than half of a
// token's life.
const maxFlight = 8 * time.Second

// wait lets time pass. What has been on its way for long arrives first.
func (m *model) wait(d time.Duration) {
	end := m.now.Add(d)
	for i := 0; i < len(m.flying); {
		if due := m.flying[i].left.Add(maxFlight); due.Before(end) {
			if due.After(m.now) {
				m.now = due
			}
			m.arrive(i)
			i = 0
			continue
		}
		i++
	}
	m.now = end
}

func (m *model) tell(format string, args ...any) {
	m.story = append(m.story, fmt.Sprintf("%6.1fs ", m.now.Sub(time.Unix(1<<30, 0)).Seconds())+fmt.Sprintf(format, args...))
}

func (m *model) newID() string { m.ids++; return "t" + strconv.Itoa(m.ids) }

// give notes what a token is that the row says is its latest.
func (m *model) give() string {
	if _, ok := m.issued[m.row.Current]; !ok {
		m.issued[m.row.Current] = m.row.Issued
		m.ends[m.row.Current] = m.row.Issued + int64(m.times.TTL/time.Second)
	} else if m.issued[m.row.Current] != m.row.Issued {
		m.fail("a copy of %s has another iat", m.row.Current)
	}
	return m.row.Current
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	for _, line := range m.story {
		m.t.Log(line)
	}
	m.t.Fatalf(format, args...)
}

func (m *model) handle(id string) Handle { return Handle{ID: id, Issued: m.issued[id]} }

// request is a request of a jar at a gateway. It reports whether it was let in.
func (m *model) request(thief bool, lose bool, slow time.Duration) bool {
	id := m.browser
	if thief {
		id = m.thief
	}
	if id == "" || m.issued[id] <= m.cutoff {
		return false
	}
	if m.now.Unix() < m.ends[id] { // not expired
		return true
	}
	var standing HandleState
	if m.row, standing = m.row.Check(m.handle(id), m.now, m.times); !standing.Valid() {
		return false
	}
	m.wait(slow) // the backend takes its time
	before := m.row.Current
	var given bool
	m.row, standing, given = m.row.Rotate(m.handle(id), m.newID(), m.now, m.times)
	if !given {
		return true
	}
	next := m.give()
	if next != before && !thief {
		if earlier, ok := m.successors[id]; ok {
			m.fail("the handle %s has two successors: %s and %s", id, earlier, next)
		}
		m.successors[id] = next
	}
	m.tell("%s (thief %v) is exchanged for %s, standing %v", id, thief, next, standing)
	if !lose {
		m.flying = append(m.flying, flight{thief, next, m.now})
	}
	return true
}

// land has one of the answers arrive, any of them.
func (m *model) land() {
	if len(m.flying) == 0 {
		return
	}
	m.arrive(m.random.IntN(len(m.flying)))
}

func (m *model) arrive(i int) {
	f := m.flying[i]
	m.flying = append(m.flying[:i], m.flying[i+1:]...)
	if f.thief {
		m.thief = f.id
	} else {
		m.browser = f.id
	}
	m.row = m.row.MarkDelivered(f.id, m.now)
	m.tell("%s arrives (thief %v)", f.id, f.thief)
}

// navigate is a navigation of the browser that passes the login host where the gateway does not let it in.
func (m *model) navigate() {
	if m.request(false, false, 0) {
		return
	}
	h := m.handle(m.browser)
	if h.Issued <= m.cutoff {
		h = Handle{}
	}
	next, replaced := m.row.Login(h, m.newID(), m.now, m.times)
	m.row = next
	if replaced {
		m.accused = true
		m.cutoff = max(m.cutoff, m.row.Cutoff)
		m.tell("the login host concludes from %s that a copy was used; cutoff %d", m.browser, m.cutoff)
		if m.withoutThief {
			m.fail("an honest browser was called a thief")
		}
	}
	m.browser = m.give()
	m.tell("the login host gives %s", m.browser)
	if !m.request(false, false, 0) {
		m.fail("a browser comes back from the login host and is not let in")
	}
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, random: rand.New(rand.NewPCG(seed, 7)), times: Times{TTL: time.Minute, Grace: 20 * time.Second, Max: time.Hour}, now: time.Unix(1<<30, 0),
		ends: map[string]int64{}, issued: map[string]int64{}, successors: map[string]string{},
	}
	m.row, _ = m.row.Login(Handle{}, m.newID(), m.now, m.times)
	m.browser = m.give()
	return m
}

// TestALoneBrowserIsNeverSuspected: requests side by side, answers lost, late and in another order, and pauses of any length: it
// is let in, or passes the login host without a word, which never concludes that there was somebody else; and each handle
// has one successor.
func TestALoneBrowserIsNeverSuspected(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20_000) {
		m := newModel(t, seed)
		m.withoutThief = true
		for range 40 {
			switch m.random.IntN(7) {
			case 0:
				m.wait(time.Duration(m.random.IntN(80_000)) * time.Millisecond)
			case 6:
				m.wait(time.Duration(m.random.IntN(200)) * time.Second)
			case 1:
				// Within the grace an answer may be lost and nothing said of it; the gateway says delivered only of what it wrote.
				if !m.request(false, true, 0) {
					m.navigate()
				}
			case 2:
				if !m.request(false, false, time.Duration(m.random.IntN(3000))*time.Millisecond) {
					m.navigate()
				}
			case 3, 4:
				m.land()
			case 5:
				m.navigate()
			}
		}
	}
}

// TestAThiefIsOutAtTheOwnersNextNavigation: whoever renews a copied cookie, before or after its owner, is refused once the
// owner has navigated with what the copy has replaced.
func TestAThiefIsOutAtTheOwnersNextNavigation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5_000) {
		m := newModel(t, seed)
		m.thief = m.browser
		m.now = m.now.Add(m.times.TTL + time.Second)
		if !m.request(true, false, 0) { // the thief is first
			m.fail("the first to renew is let in")
		}
		m.land()
		m.now = m.now.Add(m.times.Grace + time.Duration(1+m.random.IntN(60))*time.Second)
		if m.random.IntN(2) == 0 && m.request(false, false, 0) {
			m.fail("a stale handle was let in after the grace")
		}
		before := m.thief
		m.navigate()
		if !m.accused {
			m.fail("the login host did not conclude that a copy was used")
		}
		m.now = m.now.Add(time.Second)
		if m.request(true, false, 0) {
			m.fail("the thief's %s is let in after that", before)
		}
		if !m.request(false, false, 0) {
			m.fail("the owner is not")
		}
	}
}

// TestAStaleCopyCostsNothing: the owner is first, and the copy is presented any number of times.
func TestAStaleCopyCostsNothing(t *testing.T) {
	t.Parallel()
	m := newModel(t, 1)
	m.thief = m.browser
	m.now = m.now.Add(m.times.TTL + time.Second)
	if !m.request(false, false, 0) {
		t.Fatal("the owner is not let in")
	}
	m.land()
	m.now = m.now.Add(m.times.Grace + time.Second)
	for range 100 {
		if m.request(true, false, 0) {
			m.fail("the copy is let in")
		}
	}
	if !m.request(false, false, 0) {
		m.fail("the owner is not let in")
	}
	m.navigate()
	if m.accused {
		m.fail("an old copy is a weapon")
	}
}

// TestRowWithoutTokens: a session from before proves nothing until the login host has seen its browser.
func TestRowWithoutTokens(t *testing.T) {
	t.Parallel()
	now, times := time.Unix(1<<30, 0), Times{TTL: time.Minute, Grace: time.Minute}
	var r Row
	h := Handle{ID: "a", Issued: now.Unix() - 100}
	if _, s := r.Check(h, now, times); s.Valid() {
		t.Errorf("standing %v", s)
	}
	r, replaced := r.Login(h, "b", now, times)
	if replaced || r.Current != "b" || r.Previous != "" {
		t.Errorf("%+v, replaced %v", r, replaced)
	}
}

// TestTheDatabaseHasLostSomething: a later token than the row knows becomes the current one.
func TestTheDatabaseHasLostSomething(t *testing.T) {
	t.Parallel()
	now, times := time.Unix(1<<30, 0), Times{TTL: time.Minute, Grace: time.Minute}
	r, _ := Row{}.Login(Handle{}, "a", now.Add(-time.Hour), times)
	lost := Handle{ID: "b", Issued: now.Unix() - 100}
	r, s := r.Check(lost, now, times)
	if s != Ahead || r.Current != "b" || r.Issued != lost.Issued {
		t.Errorf("standing %v, %+v", s, r)
	}
	if s := r.State(Handle{ID: "a", Issued: now.Add(-time.Hour).Unix()}, now, times); s.Valid() {
		t.Errorf("the one before: %v", s)
	}
}

// TestEverythingIsVoidUpToTheCutoff: also the current token; and the next is dated past it.
func TestEverythingIsVoidUpToTheCutoff(t *testing.T) {
	t.Parallel()
	now, times := time.Unix(1<<30, 0), Times{TTL: time.Minute, Grace: time.Minute}
	r, _ := Row{}.Login(Handle{}, "a", now, times)
	r.Cutoff = now.Unix() + 5
	if s := r.State(Handle{ID: "a", Issued: now.Unix()}, now, times); s != Void {
		t.Errorf("standing %v", s)
	}
	r, replaced := r.Login(Handle{ID: "a", Issued: now.Unix()}, "b", now, times)
	if replaced || r.Current != "b" || r.Issued != now.Unix()+6 {
		t.Errorf("%+v, replaced %v", r, replaced)
	}
}

// TestAPredecessorThatComesBackShowsThatItsSuccessorIsLost: a gateway said that it was delivered, and it was not.
func TestAPredecessorThatComesBackShowsThatItsSuccessorIsLost(t *testing.T) {
	t.Parallel()
	now, times := time.Unix(1<<30, 0), Times{TTL: time.Minute, Grace: time.Minute}
	r, _ := Row{}.Login(Handle{}, "a", now, times)
	a := Handle{ID: "a", Issued: now.Unix()}
	r, _, _ = r.Rotate(a, "b", now.Add(2*time.Minute), times)
	r = r.MarkDelivered("b", now.Add(2*time.Minute))
	r, _ = r.Check(a, now.Add(3*time.Minute), times)
	if s := r.State(a, now.Add(time.Hour), times); s != Predecessor {
		t.Errorf("standing %v", s)
	}
	r, _ = r.Check(Handle{ID: "b", Issued: r.Issued}, now.Add(time.Hour), times) // it has come after all
	if s := r.State(a, now.Add(time.Hour+2*time.Minute), times); s != Stale {
		t.Errorf("after the successor has come: %v", s)
	}
}
