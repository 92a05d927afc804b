package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"
)

func TestHandlerIsOneOfSlog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var h *Handler
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		h = New(&out)
		return h
	}, func(t *testing.T) map[string]any {
		h.Close()
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
		return line
	})
}

type valuer struct{ of string }

func (v valuer) LogValue() slog.Value { return slog.StringValue("value of " + v.of) }

// FuzzAsSlogWrites: byte for byte.
func FuzzAsSlogWrites(f *testing.F) {
	f.Add("message", "key", "text", int64(7), 1.5, true, int64(1500), byte(0))
	f.Add("a \"quoted\" \\ one\n", "k\t\r\b\f\x00\x1f\x7f", "\xff\xc0\u2028\u2029é𝄞<&>", int64(-1), 1e-7, false, int64(-1), byte(255))
	f.Add("", "", "", int64(0), 1e21, false, int64(0), byte(3))
	f.Add("m", "wait_ms", "x", int64(math.MaxInt64), math.SmallestNonzeroFloat64, false, int64(math.MinInt64), byte(129))
	f.Fuzz(func(t *testing.T, message, key, text string, n int64, float float64, truth bool, duration int64, shape byte) {
		if math.IsNaN(float) || math.IsInf(float, 0) {
			return // slog says !ERROR
		}
		// encoding/json, which slog has write lists, writes \b for these, and slog itself \u0008.
		noBackspace := strings.NewReplacer("\b", "", "\f", "")
		attrs := []slog.Attr{
			slog.String(key, text), slog.Int64("n", n), slog.Uint64("u", uint64(n)), slog.Float64("f", float), slog.Bool("b", truth),
			slog.Duration(key, time.Duration(duration)), slog.Any("error", errors.New(text)), slog.Any("list", []string{noBackspace.Replace(text), noBackspace.Replace(key)}),
			slog.Any("valuer", valuer{text}), slog.Time("t", time.Unix(n%1e9, duration)), slog.Group(key, slog.String("in", text), slog.Group("deeper")), slog.Any("none", nil),
		}
		var ours, theirs bytes.Buffer
		h := New(&ours)
		record := slog.NewRecord(time.Unix(1_800_000_000, n%1e9), slog.Level(int(shape)%9), message, 0)
		var left, right slog.Handler = h, slog.NewJSONHandler(&theirs, &slog.HandlerOptions{ReplaceAttr: WithUnit})
		if shape&16 != 0 && key != "" {
			left, right = left.WithGroup(key), right.WithGroup(key)
		}
		if shape&32 != 0 {
			left, right = left.WithAttrs(attrs[:3]), right.WithAttrs(attrs[:3])
		}
		if shape&64 != 0 {
			left, right = left.WithGroup("g"), right.WithGroup("g")
		}
		if shape&128 != 0 {
			record.AddAttrs(attrs...)
		}
		if err := errors.Join(left.Handle(t.Context(), record), right.Handle(t.Context(), record)); err != nil {
			t.Fatal(err)
		}
		if h.Close(); ours.String() != theirs.String() {
			t.Errorf("ours\n%sslog's\n%s", &ours, &theirs)
		}
	})
}

func TestNumbersThatJSONHasNot(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h := New(&out)
	slog.New(h).Info("x", "nan", math.NaN(), "inf", math.Inf(-1), "channel", make(chan int))
	h.Close()
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["nan"] != "NaN" || line["inf"] != "-Inf" || !strings.HasPrefix(line["channel"].(string), "!ERROR:") {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestLinesOfManyStayWholeAndInOrder(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h := New(&out)
	log := slog.New(h)
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for n := range 200 {
				log.Info("request", "writer", w, "n", n)
			}
		})
	}
	writers.Wait()
	h.Close()
	log.Info("after the end")
	next := map[int]int{}
	for line := range strings.Lines(out.String()) {
		var at struct{ Writer, N int }
		if err := json.Unmarshal([]byte(line), &at); err != nil || next[at.Writer] != at.N {
			t.Fatalf("%v: %s", err, line)
		}
		next[at.Writer]++
	}
	for w := range 8 {
		if next[w] != 200 {
			t.Errorf("writer %d: %d lines", w, next[w])
		}
	}
	if h.Dropped() != 1 {
		t.Errorf("%d lines dropped, want the one after the end", h.Dropped())
	}
}

// hung is a stream that takes nothing until it is released.
type hung struct {
	released chan struct{}
	bytes.Buffer
}

func (h *hung) Write(p []byte) (int, error) {
	<-h.released
	return h.Buffer.Write(p)
}

// TestAHungLogHoldsNobody, takes no more than its room, and says afterwards what is missing.
func TestAHungLogHoldsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &hung{released: make(chan struct{})}
		h := New(out)
		log := slog.New(h)
		line := strings.Repeat("x", 64<<10)
		began := time.Now()
		log.Info("taken at once", "line", line)
		synctest.Wait() // the goroutine hangs with it
		for range maxPending>>16 - 1 {
			log.Info("finds room", "line", line)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("with room a line takes %v", took)
		}
		for range 3 {
			log.Info("finds none", "line", line)
		}
		log.Warn("finds room, and is not waited for any more")
		if took := time.Since(began); took != blockTimeout {
			t.Errorf("three lines without room and one that is waited for take %v", took)
		}
		close(out.released)
		synctest.Wait()
		log.Warn("at once again")
		if took := time.Since(began); took != blockTimeout {
			t.Errorf("after that a line takes %v", took-blockTimeout)
		}
		h.Close()
		if h.Dropped() != 3 {
			t.Errorf("%d lines dropped, want 3", h.Dropped())
		}
		text := out.String()
		if n := strings.Count(text, "finds none"); n != 0 {
			t.Errorf("%d lines that were dropped stand in the log", n)
		}
		for _, want := range []string{"taken at once", "finds room, and is not waited for any more", `"level":"WARN","msg":"lines of the log were dropped: it cannot be written as fast as they come","count":3}`, "at once again"} {
			if strings.Count(text, want) != 1 {
				t.Errorf("the log does not have once: %s", want)
			}
		}
	})
}

// full is a stream on a full disk: it takes so many bytes, until there is room again.
type full struct {
	room int
	bytes.Buffer
}

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		n, _ := f.Buffer.Write(p[:f.room])
		f.room -= n
		return n, io.ErrShortWrite
	}
	f.room -= len(p)
	return f.Buffer.Write(p)
}

// TestLinesThatCannotBeWrittenAreCounted: the log says what is missing, and one that was cut off spoils none behind it.
func TestLinesThatCannotBeWrittenAreCounted(t *testing.T) {
	t.Parallel()
	out := &full{room: 30}
	h := New(out)
	log := slog.New(h)
	log.Warn("cut off") // lines of WARN are waited for, one after another
	log.Warn("not at all")
	log.Warn("with a line about both")
	out.room = 1 << 20
	log.Warn("room again")
	h.Close()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], "room again") || !strings.HasSuffix(lines[2], `"count":3}`) || h.Dropped() != 3 {
		t.Errorf("%d lines dropped:\n%s", h.Dropped(), out)
	}
	for _, line := range lines[1:] {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestALogThatHangsForEverEndsWithTheProgram(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(*testing.T) {
		out := &hung{released: make(chan struct{})}
		h := New(out)
		slog.New(h).Info("never written")
		h.Close()
		close(out.released) // the test ends with its goroutines
	})
}

func BenchmarkLine(b *testing.B) {
	ours := New(io.Discard)
	defer ours.Close()
	for name, h := range map[string]slog.Handler{"ours": ours, "slog": slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{ReplaceAttr: WithUnit})} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			record := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
			for n := range 12 {
				record.AddAttrs(slog.String(fmt.Sprintf("attribute-%d", n), "/service-7/1/items"))
			}
			record.AddAttrs(slog.Int("status", 200), slog.Float64("duration_ms", 1.234), slog.Int64("bytes", 1024))
			for b.Loop() {
				if err := h.Handle(b.Context(), record); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
