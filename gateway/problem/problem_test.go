package problem

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestDetails: the names and their order are what scripts compare with.
func TestDetails(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]Details{
		`{"type":"https://vilogate.dev/problems/csrf","title":"Not allowed","status":403,"request_id":"a"}`: {
			Type: Type("csrf"), Title: "Not allowed", Status: http.StatusForbidden, RequestID: "a",
		},
		`{"type":"about:blank","title":"Not found","status":404}`: {Type: Blank, Title: "Not found", Status: http.StatusNotFound},
		`{"type":"https://vilogate.dev/problems/unauthenticated","title":"x","status":401,"request_id":"a",` +
			`"login_url":"https://l.example/login?a=1\u0026b=2","logout_url":"https://l.example/logout"}`: {
			Type: Type("unauthenticated"), Title: "x", Status: http.StatusUnauthorized, RequestID: "a",
			LoginURL: "https://l.example/login?a=1&b=2", LogoutURL: "https://l.example/logout",
		},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Retry-After", "5")
		if err := d.Write(w); err != nil {
			t.Error(err)
		}
		got := w.Result()
		if body := w.Body.String(); body != want+"\n" || got.StatusCode != d.Status || got.ContentLength != int64(len(body)) ||
			got.Header.Get("Content-Type") != "application/problem+json" || got.Header.Get("Retry-After") != "5" {
			t.Errorf("%d %v %s, want %s", got.StatusCode, got.Header, body, want)
		}
	}
}

type goneClient struct{ *httptest.ResponseRecorder }

func (goneClient) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestClientThatIsGone(t *testing.T) {
	t.Parallel()
	if err := (Details{Status: http.StatusNotFound}).Write(goneClient{httptest.NewRecorder()}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}
