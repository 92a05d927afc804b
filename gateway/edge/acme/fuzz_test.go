package acme

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// Whatever stands in Retry-After, it is a time or none.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "120", "-1", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "1e9"} {
		f.Add(s)
	}
	now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		at := retryAfter(value, now)
		if at.Before(now) && !at.IsZero() && at.Year() > 2026 {
			t.Errorf("%q: %v", value, at)
		}
	})
}

// Whatever the API answers, it is an answer to read or an error, and never holds
// the token.
func FuzzCloudflareAnswer(f *testing.F) {
	f.Add(200, `{"success":true,"errors":[],"result":[{"id":"z"}]}`)
	f.Add(200, `{"success":true,"errors":[],"result":[]}`)
	f.Add(403, `{"success":false,"errors":[{"code":10000,"message":"Authentication error","error_chain":[{"code":9109,"message":"x"}]}]}`)
	f.Add(502, `<html>bad gateway</html>`)
	f.Add(400, `null`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		api := &cloudflareAPI{base: &url.URL{Scheme: "http", Host: "api.test"}, client: &http.Client{Transport: answering{status, body}}}
		r := httptest.NewRequest(http.MethodGet, CloudflareAPI+"/zones?name=x", nil)
		r.RequestURI = ""
		resp, err := api.Do(r)
		if (resp == nil) == (err == nil) {
			t.Fatalf("%v, %v", resp, err)
		}
		if err != nil {
			return
		}
		if _, err := io.ReadAll(resp.Body); err != nil || status >= 400 {
			t.Errorf("status %d is no error, or cannot be read: %v", status, err)
		}
	})
}

// answering answers everything alike.
type answering struct {
	status int
	body   string
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	rec.Code = a.status
	if _, err := rec.Body.WriteString(a.body); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// Whatever stands in the storage, it is a certificate for the name or an error.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"chain":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==","key":"","obtained":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		store := &certmagic.FileStorage{Path: dir}
		if err := store.Store(t.Context(), key(kindRecord, "ca", "x.test"), data); err != nil {
			t.Fatal(err)
		}
		c, err := loadRecord(t.Context(), store, "ca", "x.test")
		if err == nil && (c == nil || c.leaf() == nil) || err != nil && !errors.Is(err, errCorrupt) {
			t.Errorf("%v, %v", c, err)
		}
	})
}
