package backchannel

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// Handler answers at [Path] of an identity provider's own listener. What stands before it must not let strangers there, and
// they would need the secret. Safe for concurrent use.
type Handler struct {
	sessions Sessions
	sign     signer
	now      func() time.Time
	log      *slog.Logger
}

// NewHandler returns a handler that believes who has the fleet's secret.
func NewHandler(sessions Sessions, secret []byte, now func() time.Time, log *slog.Logger) (*Handler, error) {
	sign, err := newSigner(secret)
	if err != nil {
		return nil, err
	}
	return &Handler{sessions, sign, now, log}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "the request cannot be read", http.StatusBadRequest)
		return
	}
	at, mac := header(r.Header, headerTime), header(r.Header, headerMAC)
	if err := h.authenticate(at, mac, body); err != nil {
		h.log.WarnContext(r.Context(), "a question on the back channel was refused", "error", err, "from", r.RemoteAddr)
		w.Header().Set(headerTime, strconv.FormatInt(h.now().Unix(), 10))
		http.Error(w, "the request is not believed", http.StatusUnauthorized)
		return
	}
	status, answer := h.answer(r, body)
	text, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(headerMAC, h.sign.response(mac, status, text))
	w.WriteHeader(status)
	if _, err := w.Write(text); err != nil {
		return // the gateway is gone
	}
}

// authenticate checks the MAC, and then the time that it covers.
func (h *Handler) authenticate(at, mac string, body []byte) error {
	if !equalMAC(mac, h.sign.request(at, body)) {
		return errMAC
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return errMAC
	}
	if by := h.now().Sub(time.Unix(seconds, 0)).Abs(); by > MaxSkew {
		return &errSkew{by}
	}
	return nil
}

func (h *Handler) answer(r *http.Request, body []byte) (status int, a response) {
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		return http.StatusBadRequest, response{}
	}
	var err error
	question := Question{Handle: q.Token, Client: q.Client, RequestID: q.RequestID}
	switch q.Action {
	case actionCheck:
		var s Status
		s, err = h.sessions.Check(r.Context(), question)
		a = response{Claims: s.Claims, Seen: s.Seen.Unix()}
	case actionRotate:
		var s Successor
		s, err = h.sessions.Rotate(r.Context(), question)
		a = response{Token: s.Token, Ends: s.Ends.Unix()}
	case actionDelivered:
		err = h.sessions.Delivered(r.Context(), q.Token)
	case actionActive:
		var until time.Time
		a.Active, until, err = h.sessions.Active(r.Context(), q.Session, time.Unix(q.Issued, 0))
		a.Ends = until.Unix()
	default:
		return http.StatusBadRequest, response{}
	}
	switch {
	case err == nil:
		a.Outcome = outcomeOK
		return http.StatusOK, a
	case errors.Is(err, ErrRefused):
		return http.StatusOK, response{Outcome: outcomeRefused}
	case errors.Is(err, ErrReturn):
		return http.StatusOK, response{Outcome: outcomeReturn}
	}
	h.log.ErrorContext(r.Context(), "a question on the back channel could not be answered", "action", q.Action, "error", err)
	return http.StatusServiceUnavailable, response{}
}
