package backchannel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// answers is an identity provider with one answer to each question.
type answers struct {
	err   error
	asked []Question
}

func (a *answers) Check(_ context.Context, q Question) (Status, error) {
	a.asked = append(a.asked, q)
	return Status{Claims: "claims of " + q.Handle, Seen: time.Unix(1000, 0)}, a.err
}

func (a *answers) Rotate(_ context.Context, q Question) (Successor, error) {
	a.asked = append(a.asked, q)
	return Successor{Token: "after " + q.Handle, Ends: time.Unix(2000, 0)}, a.err
}

func (a *answers) Delivered(_ context.Context, token string) error {
	a.asked = append(a.asked, Question{Handle: token})
	return a.err
}

func (a *answers) Active(context.Context, string, time.Time) (bool, time.Time, error) {
	return true, time.Unix(3000, 0), a.err
}

const (
	ourSecret   = "a secret of 32 bytes, or of more"
	otherSecret = "another secret of 32 bytes and so"
)

// channel is a client, with a secret and a clock that is ahead, and the server that it asks.
func channel(t *testing.T, a *answers, secret string, ahead time.Duration) *Client {
	t.Helper()
	h, err := NewHandler(a, []byte(ourSecret), time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(u, []byte(secret), func() time.Time { return time.Now().Add(ahead) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestQuestionsAreAnswered(t *testing.T) {
	t.Parallel()
	a := &answers{}
	c := channel(t, a, ourSecret, 20*time.Second)
	q := Question{Handle: "h", Client: netip.MustParseAddr("192.0.2.1"), RequestID: "r"}
	if s, err := c.Check(t.Context(), q); err != nil || s.Claims != "claims of h" || s.Seen.Unix() != 1000 {
		t.Errorf("check: %+v, %v", s, err)
	}
	if s, err := c.Rotate(t.Context(), q); err != nil || s.Token != "after h" || s.Ends.Unix() != 2000 {
		t.Errorf("rotate: %+v, %v", s, err)
	}
	if err := c.Delivered(t.Context(), "d"); err != nil {
		t.Errorf("delivered: %v", err)
	}
	if active, until, err := c.Active(t.Context(), "s", time.Unix(1, 0)); err != nil || !active || until.Unix() != 3000 {
		t.Errorf("active: %v, %v, %v", active, until, err)
	}
	if len(a.asked) != 3 || a.asked[0] != q || a.asked[1] != q || a.asked[2].Handle != "d" {
		t.Errorf("asked: %+v", a.asked)
	}
}

// TestRefusalsAndTroubleAreToldApart: what the identity provider says is not what goes wrong on the way.
func TestRefusalsAndTroubleAreToldApart(t *testing.T) {
	t.Parallel()
	for _, want := range []error{ErrRefused, ErrReturn} {
		if _, err := channel(t, &answers{err: want}, ourSecret, 0).Check(t.Context(), Question{}); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	_, err := channel(t, &answers{err: errors.New("the database is away")}, ourSecret, 0).Check(t.Context(), Question{})
	if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, ErrReturn) {
		t.Errorf("trouble: %v", err)
	}
}

func TestStrangersAndClocksAreNotBelieved(t *testing.T) {
	t.Parallel()
	a := &answers{}
	if _, err := channel(t, a, otherSecret, 0).Check(t.Context(), Question{}); !errors.Is(err, errMAC) {
		t.Errorf("another secret: %v", err)
	}
	for _, ahead := range []time.Duration{time.Minute, -time.Minute} {
		_, err := channel(t, a, ourSecret, ahead).Check(t.Context(), Question{})
		if _, ok := errors.AsType[*errSkew](err); !ok {
			t.Errorf("a clock that is %v ahead: %v", ahead, err)
		}
	}
	if len(a.asked) > 0 {
		t.Errorf("asked: %v", a.asked)
	}
	if _, err := NewHandler(a, []byte("short"), time.Now, nil); !errors.Is(err, errSecret) {
		t.Errorf("a short secret: %v", err)
	}
}

// TestMessagesAreBound: nothing of a message can be changed, and no answer belongs to another question.
func TestMessagesAreBound(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(&answers{}, []byte(ourSecret), time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	sign, err := newSigner([]byte(ourSecret))
	if err != nil {
		t.Fatal(err)
	}
	const at, body = "1000", `{"action":"check","token":"h"}`
	mac := sign.request(at, []byte(body))
	for name, header := range map[string][2]string{
		"no MAC": {at, ""}, "another time": {"1001", mac}, "a MAC of a response": {at, sign.response(mac, 200, []byte(body))}, "half a MAC": {at, mac[:20]},
	} {
		if h.authenticate(header[0], header[1], []byte(body)) == nil {
			t.Errorf("%s: believed", name)
		}
	}
	if h.authenticate(at, mac, []byte(strings.Replace(body, "h", "i", 1))) == nil {
		t.Error("another body: believed")
	}
	if sign.response(mac, 200, []byte("{}")) == sign.response(sign.request("1001", []byte(body)), 200, []byte("{}")) {
		t.Error("an answer belongs to two questions")
	}
	// A replay within the time is answered again: all messages are idempotent. Somebody in between who swaps answers is found out.
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(headerMAC, sign.response("of another question", 200, []byte(`{"outcome":"refused"}`)))
		if _, err := io.WriteString(w, `{"outcome":"refused"}`); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(between.Close)
	u, err := url.Parse(between.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(u, []byte(ourSecret), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Check(t.Context(), Question{Handle: "h"}); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("a swapped answer: %v", err)
	}
}

// FuzzHandler: no request, believed or not, makes the handler answer anything but a status of its own.
func FuzzHandler(f *testing.F) {
	f.Add([]byte(`{"action":"check","token":"h"}`), true)
	f.Add([]byte(`{"action":"active","issued":-1}`), true)
	f.Add([]byte(`{`), true)
	f.Add([]byte(``), false)
	sign, err := newSigner([]byte(ourSecret))
	if err != nil {
		f.Fatal(err)
	}
	h, err := NewHandler(&answers{}, []byte(ourSecret), func() time.Time { return time.Unix(1000, 0) }, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, signed bool) {
		r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(string(body)))
		r.Header.Set(headerTime, "1000")
		if signed {
			r.Header.Set(headerMAC, sign.request("1000", body))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case signed && w.Code != http.StatusOK && w.Code != http.StatusBadRequest:
			t.Errorf("%d", w.Code)
		case !signed && w.Code != http.StatusUnauthorized && w.Code != http.StatusBadRequest:
			t.Errorf("not signed: %d", w.Code)
		}
	})
}
