package backchannel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Client asks an identity provider in another process. It is safe for concurrent use.
type Client struct {
	url    string
	sign   signer
	now    func() time.Time
	client *http.Client
}

// clientConnections is how many questions are under way at once.
const clientConnections = 64

// NewClient returns a client of the identity provider at address (http://host:port), with the fleet's secret.
func NewClient(address *url.URL, secret []byte, now func() time.Time) (*Client, error) {
	sign, err := newSigner(secret)
	if err != nil {
		return nil, err
	}
	return &Client{
		url: address.JoinPath(Path).String(), sign: sign, now: now,
		client: &http.Client{
			Transport:     &http.Transport{MaxConnsPerHost: clientConnections, MaxIdleConnsPerHost: clientConnections, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close drops the idle connections.
func (c *Client) Close() { c.client.CloseIdleConnections() }

// Check implements Sessions.
func (c *Client) Check(ctx context.Context, q Question) (Status, error) {
	r, err := c.ask(ctx, request{Action: actionCheck, Token: q.Handle, Client: q.Client, RequestID: q.RequestID})
	return Status{r.Claims, time.Unix(r.Seen, 0)}, err
}

// Rotate implements Sessions.
func (c *Client) Rotate(ctx context.Context, q Question) (Successor, error) {
	r, err := c.ask(ctx, request{Action: actionRotate, Token: q.Handle, Client: q.Client, RequestID: q.RequestID})
	return Successor{r.Token, time.Unix(r.Ends, 0)}, err
}

// Delivered implements Sessions.
func (c *Client) Delivered(ctx context.Context, token string) error {
	_, err := c.ask(ctx, request{Action: actionDelivered, Token: token})
	return err
}

// Active implements Sessions.
func (c *Client) Active(ctx context.Context, session string, issued time.Time) (bool, time.Time, error) {
	r, err := c.ask(ctx, request{Action: actionActive, Session: session, Issued: issued.Unix()})
	return r.Active, time.Unix(r.Ends, 0), err
}

// ask sends one request and reads its answer. An answer that is not the identity provider's is an error like any other:
// nobody knows.
func (c *Client) ask(ctx context.Context, q request) (response, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return response{}, fmt.Errorf("backchannel: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return response{}, fmt.Errorf("backchannel: %w", err)
	}
	at := strconv.FormatInt(c.now().Unix(), 10)
	mac := c.sign.request(at, body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(headerTime, at)
	r.Header.Set(headerMAC, mac)
	answer, err := c.client.Do(r)
	if err != nil {
		return response{}, fmt.Errorf("backchannel: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read, or is given up
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxResponse+1))
	if err != nil {
		return response{}, fmt.Errorf("backchannel: reading the answer: %w", err)
	}
	return c.read(answer, mac, text)
}

func (c *Client) read(answer *http.Response, mac string, text []byte) (a response, err error) {
	if !equalMAC(header(answer.Header, headerMAC), c.sign.response(mac, answer.StatusCode, text)) {
		switch answer.StatusCode {
		case http.StatusUnauthorized: // it could not believe us either
			return response{}, c.explain(answer)
		case http.StatusNotFound, http.StatusMisdirectedRequest: // it knows the login host alone
			return response{}, ErrUnsupported
		}
		return response{}, fmt.Errorf("backchannel: %s, and the answer is not the identity provider's", answer.Status)
	}
	if answer.StatusCode != http.StatusOK {
		return response{}, fmt.Errorf("backchannel: the identity provider answers %s", answer.Status)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return response{}, fmt.Errorf("backchannel: %w", err)
	}
	switch a.Outcome {
	case outcomeOK:
		return a, nil
	case outcomeRefused:
		return response{}, ErrRefused
	case outcomeReturn:
		return response{}, ErrReturn
	}
	return response{}, fmt.Errorf("backchannel: the outcome %q is unknown", a.Outcome)
}

// explain says why the identity provider did not believe a request: it tells its time beside.
func (c *Client) explain(answer *http.Response) error {
	theirs, err := strconv.ParseInt(header(answer.Header, headerTime), 10, 64)
	if err == nil {
		if by := c.now().Sub(time.Unix(theirs, 0)).Abs(); by > MaxSkew {
			return &errSkew{by}
		}
	}
	return errMAC
}
