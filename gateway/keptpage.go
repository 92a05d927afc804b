package gateway

import (
	"html"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/policies"
)

// serveKept shows the post that was kept while its sender signed in, or throws it away.
func (d *decided) serveKept() error {
	id, _ := strings.CutPrefix(d.Target.Query, keptParameter+"=")
	post, err := d.findPost(id)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(post.URL, d.gen.origin(string(d.Name))+"/") {
		return refuseKeptGone()
	}
	h := d.reply.Header()
	h.Set("Cache-Control", "no-store")
	mine := post.Owner.Same(ownerOf(d.authentication.claims))
	if d.r.Method == http.MethodPost || !mine {
		return d.dropKept(id, post)
	}
	d.reply.setCommonHeaders(h)
	address := strings.TrimPrefix(post.URL, "https://")
	address, _, _ = strings.Cut(address, "?")
	d.writePage(http.StatusOK, page{
		Title:  "Send what you were about to send?",
		Detail: "You were not signed in any more when you sent a form. It was kept, and has not been sent yet.",
		User:   d.authentication.claims.User(),
		Kept: &keptForm{
			Address: address, Size: sizeText(len(post.Body)), Kind: kindText(post.ContentType),
			Send: template.HTMLAttr(`action="` + html.EscapeString(post.URL) + `"`), Field: keptField, ID: id,
			Drop: policies.PathKept + "?" + keptParameter + "=" + id,
		},
	})
	return nil
}

// dropKept throws the post away, at the wish of its sender, or because it is of somebody else.
func (d *decided) dropKept(id string, post *posts.Post) error {
	if _, err := d.takePost(id, post.Owner); err != nil {
		return err
	}
	d.reply.setCommonHeaders(d.reply.Header())
	home := d.gen.origin(string(d.Name)) + "/"
	d.writePage(http.StatusOK, page{
		Title: "It was thrown away", Detail: "What you were about to send was not sent, and is not kept any more.",
		BackURL: home, BackHost: strings.TrimPrefix(originOf(home), "https://"),
	})
	return nil
}

// kindText says to a person what a form's Content-Type means.
func kindText(contentType string) string {
	if formKind(contentType) == formMultipart {
		return "form with files (" + formMultipart + ")"
	}
	return "form (" + formURLEncoded + ")"
}

// sizeText is a size as people read it.
func sizeText(bytes int) string {
	switch {
	case bytes == 1:
		return "1 byte"
	case bytes < 1<<10:
		return strconv.Itoa(bytes) + " bytes"
	case bytes < 1<<20:
		return strconv.FormatFloat(float64(bytes)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) + " MiB"
}
