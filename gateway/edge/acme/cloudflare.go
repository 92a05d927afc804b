package acme

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// CloudflareAPI is where Cloudflare's API is.
const CloudflareAPI = "https://api.cloudflare.com/client/v4"

// maxResponse bounds what is read of one response, in bytes.
const maxResponse = 4 << 20

// cloudflareAPI is the HTTP client of libdns/cloudflare. It sends to another base
// address where one is configured, and makes errors that can be told apart of
// what the library would only quote. Safe for concurrent use.
type cloudflareAPI struct {
	base   *url.URL
	client *http.Client
}

func newCloudflareAPI(base string, client *http.Client) (*cloudflareAPI, error) {
	if base == "" {
		base = CloudflareAPI
	}
	parsed, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" {
		return nil, errors.New("acme: the base of Cloudflare's API is written https://host/path")
	}
	return &cloudflareAPI{base: parsed, client: client}, nil
}

// An apiError is an error response of Cloudflare's API.
type apiError struct {
	Status int
	Codes  []int
	Text   string
}

func (e *apiError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.Status, e.Text) }

// Codes of Cloudflare's API.
const (
	codeIdenticalRecord = 81058
	codeRecordExists    = 81057
)

// alreadyExists reports whether the record was there already.
func (e *apiError) alreadyExists() bool {
	for _, code := range e.Codes {
		if code == codeIdenticalRecord || code == codeRecordExists {
			return true
		}
	}
	return false
}

// errNoZone says that the token sees no zone of the name that was asked for.
var errNoZone = errors.New("there is no such zone among those that the token may see")

// requestErrKey is the context key of an *error that is set to a failed request's error.
type requestErrKey struct{}

// Do implements the client of libdns/cloudflare.
func (a *cloudflareAPI) Do(r *http.Request) (*http.Response, error) {
	resp, err := a.do(r)
	if seen, ok := r.Context().Value(requestErrKey{}).(*error); ok && err != nil {
		*seen = err
	}
	return resp, err
}

func (a *cloudflareAPI) do(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = a.base.Scheme, a.base.Host
	out.URL.Path = a.base.Path + strings.TrimPrefix(r.URL.Path, "/client/v4")
	out.URL.RawPath, out.Host = "", ""
	resp, err := a.client.Do(out)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("reading the response: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var answer struct {
		Success bool `json:"success"`
		Errors  []struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Chain   []struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"error_chain"`
		} `json:"errors"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, &apiError{Status: resp.StatusCode, Text: "the answer is no JSON of Cloudflare's API"}
	}
	if resp.StatusCode >= 400 || len(answer.Errors) > 0 {
		apiErr := &apiError{Status: resp.StatusCode, Text: http.StatusText(resp.StatusCode)}
		var texts []string
		for _, e := range answer.Errors {
			apiErr.Codes, texts = append(apiErr.Codes, e.Code), append(texts, fmt.Sprintf("%s (code %d)", e.Message, e.Code))
			for _, inner := range e.Chain {
				apiErr.Codes, texts = append(apiErr.Codes, inner.Code), append(texts, fmt.Sprintf("%s (code %d)", inner.Message, inner.Code))
			}
		}
		if len(texts) > 0 {
			apiErr.Text = strings.Join(texts, ", ")
		}
		return nil, apiErr
	}
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/zones") && string(bytes.TrimSpace(answer.Result)) == "[]" {
		return nil, errNoZone
	}
	return resp, nil
}
