package http2

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// model is what a client knows of a connection: what each side may send, and what it has sent.
type model struct {
	*peer
	random  *rand.Rand
	streams map[uint32]*modelStream
	open    []uint32

	window       int // that the server may send
	maySend      int // that we may send
	initial      int // of the server's windows on streams, as it was last said
	changes      []int
	acknowledged int
}

type modelStream struct {
	window, maySend int
	changes         int // how many settings had been said when it began
	toSend, want    int // bytes of bodies
	got             int
	headed          bool
	ended, sent     bool // the server's side, and ours
	reset           bool // by either side
}

// TestFlowControlAndStates runs random schedules: whatever a client does, within the rules, the server keeps to the windows, says
// nothing on a stream that has ended, and answers every request that nobody reset, wholly.
func TestFlowControlAndStates(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { runModel(t, seed) })
		})
	}
}

func runModel(t *testing.T, seed uint64) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("early") == "" {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			t.Error(err)
		}
		for n > 0 {
			piece := min(n, 10_000)
			if _, err := w.Write(make([]byte, piece)); err != nil {
				panic(http.ErrAbortHandler)
			}
			n -= piece
		}
	}, func(o *Options) {
		o.Limits.StreamWindow, o.Limits.ConnectionWindow, o.Limits.ControlFrames, o.Limits.Resets = 40_000, 100_000, 1<<20, 1<<20
	})
	m := &model{
		peer: dial(t, s), random: rand.New(rand.NewPCG(seed, 0)), streams: map[uint32]*modelStream{},
		window: initialWindow, maySend: initialWindow, initial: initialWindow, changes: []int{0},
	}
	for range 300 {
		m.step()
		synctest.Wait()
		m.hear()
	}
	for len(m.open) > 0 && !t.Failed() {
		for _, id := range m.open {
			m.send(m.streams[id], id, 1<<20)
			m.update(id, 50_000)
		}
		m.update(0, 50_000)
		synctest.Wait()
		m.hear()
	}
}

// step does something.
func (m *model) step() {
	id := uint32(0)
	if len(m.open) > 0 {
		id = m.open[m.random.IntN(len(m.open))]
	}
	st := m.streams[id]
	switch m.random.IntN(8) {
	case 0, 1:
		m.begin()
	case 2, 3:
		if st != nil {
			m.send(st, id, m.random.IntN(20_000))
		}
	case 4:
		m.update(id, 1+m.random.IntN(30_000))
	case 5:
		m.update(0, 1+m.random.IntN(30_000))
	case 6:
		n := m.random.IntN(100_000)
		m.write(m.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(n)}))
		m.changes = append(m.changes, n-m.initial)
		m.initial = n
	case 7:
		if st != nil && m.random.IntN(4) == 0 {
			m.write(m.WriteRSTStream(id, http2.ErrCodeCancel))
			st.reset = true
			m.close(id)
		}
	}
}

func (m *model) begin() {
	if len(m.open) > 50 {
		return
	}
	st := &modelStream{window: m.initial, maySend: 40_000, changes: len(m.changes), toSend: m.random.IntN(3) * m.random.IntN(60_000), want: m.random.IntN(3) * m.random.IntN(60_000)}
	path := "/?n=" + strconv.Itoa(st.want)
	if m.random.IntN(4) == 0 {
		path += "&early=1"
	}
	st.sent = st.toSend == 0
	id := m.id()
	m.streams[id] = st
	m.open = append(m.open, id)
	m.request(id, "POST", st.sent, ":path", path)
}

func (m *model) send(st *modelStream, id uint32, most int) {
	for most > 0 && !st.sent && !st.reset {
		n := min(most, st.toSend, st.maySend, m.maySend, maxFrameLength)
		if n == 0 {
			return
		}
		most, st.toSend, st.maySend, m.maySend = most-n, st.toSend-n, st.maySend-n, m.maySend-n
		st.sent = st.toSend == 0
		m.write(m.WriteData(id, st.sent, make([]byte, n)))
	}
	if st.sent && st.ended {
		m.close(id)
	}
}

func (m *model) update(id uint32, n int) {
	if id == 0 {
		m.window += n
	} else if st := m.streams[id]; st != nil {
		st.window += n
	}
	m.write(m.WriteWindowUpdate(id, uint32(n)))
}

func (m *model) close(id uint32) {
	for i, open := range m.open {
		if open == id {
			m.open = append(m.open[:i:i], m.open[i+1:]...)
		}
	}
}

// hear checks what the server has said.
func (m *model) hear() {
	for len(m.frames) > 0 {
		e := m.read()
		st := m.streams[e.stream]
		switch e.kind {
		case http2.FrameSettings:
			m.acknowledge()
			continue
		case http2.FrameWindowUpdate:
			if st == nil {
				m.maySend += int(e.n)
			} else {
				st.maySend += int(e.n)
			}
			continue
		case http2.FrameHeaders, http2.FrameData, http2.FrameRSTStream:
			if st == nil || st.ended && e.kind != http2.FrameRSTStream {
				m.t.Fatalf("on a stream that has ended, or not begun: %v", e)
			}
		default:
			m.t.Fatal(e)
		}
		m.hearStream(st, e)
	}
	if m.window < 0 || m.maySend > 100_000 {
		m.t.Fatalf("the connection's windows: %d, %d", m.window, m.maySend)
	}
}

func (m *model) hearStream(st *modelStream, e event) {
	switch {
	case e.kind == http2.FrameRSTStream:
		if e.code != http2.ErrCodeNo || !st.ended || st.sent {
			m.t.Fatalf("it is reset: %v", e)
		}
		st.reset = true
	case e.kind == http2.FrameHeaders:
		if st.headed || e.field(":status") != "200" {
			m.t.Fatalf("a second header, or an error: %v", e)
		}
		st.headed = true
	default:
		n := len(e.data)
		if st.got, st.window, m.window = st.got+n, st.window-n, m.window-n; n > 0 && (st.window < 0 || m.window < 0) || !st.headed || n > maxFrameLength {
			m.t.Fatalf("beyond its windows %d, %d: %.80s", st.window, m.window, e)
		}
	}
	if e.ends {
		st.ended = true
		if st.got != st.want && !st.reset {
			m.t.Fatalf("%d bytes of %d", st.got, st.want)
		}
	}
	if st.reset || st.ended && st.sent {
		m.close(e.stream)
	}
}

// acknowledge is when the server has taken settings: the windows of the streams that had begun before change (RFC 9113, section 6.9.2).
func (m *model) acknowledge() {
	if m.acknowledged++; m.acknowledged == 1 {
		return // what dial has said
	}
	for _, st := range m.streams {
		if st.changes < m.acknowledged {
			st.window += m.changes[m.acknowledged-1]
		}
	}
}

// FuzzConnection: whatever bytes a client sends, the connection ends when the client's does, what the server says is well-formed,
// and no more of bodies is kept than the windows.
func FuzzConnection(f *testing.F) {
	begin := preface + string(appendSettings(nil))
	get := string((&rawClient{t: f, next: 1}).request(nil))
	for _, text := range []string{
		"", preface, begin, begin + get, begin + get + get,
		begin + string(appendPing(nil, 0, []byte("01234567"))) + string(appendReset(nil, 1, 8)) + string(appendGoAway(nil, 0, 0, "")),
		begin + strings.Replace(get, "\x05", "\x04", 1) + string(appendFrameHeader(nil, dataFrame, flagEndStream, 1, 3)) + "abc",
		begin + string(appendWindowUpdate(nil, 0, 1<<30)) + string(appendSettings(nil, setting{settingInitialWindowSize, 1 << 30}, setting{settingHeaderTableSize, 0})) + get,
	} {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, sent []byte, began bool) {
		if began {
			sent = append([]byte(begin), sent...)
		}
		synctest.Test(t, func(t *testing.T) {
			p := connect(t, newServer(t, echo, func(o *Options) { o.Limits.ConnectionWindow = initialWindow }))
			go p.listen()
			p.quiet = true
			_, err := p.conn.Write(sent)
			p.write(err)
			synctest.Wait()
			p.server.checkBounds(t)
			p.write(p.conn.Close())
			<-p.served
		})
	})
}

func (s *Server) checkBounds(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.mu.Lock()
		kept := 0
		for _, st := range c.streams {
			kept += st.inbox.size
		}
		if kept > initialWindow || c.waiting() > 4*maxPending || c.handlers > 2*c.limits.Streams || len(c.closed.ids) > c.limits.Streams {
			t.Errorf("it keeps %d bytes of bodies, %d of frames, %d handlers", kept, c.waiting(), c.handlers)
		}
		c.mu.Unlock()
	}
}
