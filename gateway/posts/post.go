package posts

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Owner is whose browser sent a post, by the SSO cookie that came with it.
type Owner struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Session string `json:"session"` // "" where the issuer has none
}

// Same reports whether both are one person; in another session too, as after a login.
func (o Owner) Same(other Owner) bool { return o.Issuer == other.Issuer && o.Subject == other.Subject }

// Post is what a form has sent.
type Post struct {
	Owner Owner `json:"owner"`
	// URL is the public address that it was sent to, canonical.
	URL string `json:"url"`
	// ContentType is as it was sent, parameters included.
	ContentType string `json:"content_type"`
	Body        []byte `json:"-"`
}

var errEncoding = errors.New("posts: a post that cannot be read")

// encode is the post as bytes: JSON on a line, and the body.
func (p *Post) encode() ([]byte, error) {
	head, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return append(append(head, '\n'), p.Body...), nil
}

func decode(encoded []byte) (*Post, error) {
	head, body, ok := bytes.Cut(encoded, []byte("\n"))
	p := &Post{Body: body}
	if !ok || json.Unmarshal(head, p) != nil {
		return nil, errEncoding
	}
	return p, nil
}
