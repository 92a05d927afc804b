package request

import (
	"slices"
	"strings"
)

// IsNavigation reports whether a request is somebody on the way to a page, whom a redirect may take somewhere else: a GET
// or HEAD whose answer is looked at (WantsDocument). The header's names are canonical.
func IsNavigation(method string, header map[string][]string) bool {
	return (method == "GET" || method == "HEAD") && WantsDocument(header)
}

// WantsDocument reports whether a person looks at the answer, whatever the method. By Fetch Metadata that is a navigation
// of a tab, no prefetch and no frame; or what is left of one that a page's service worker passed on, which Chromium sends
// with the destination empty and Firefox as a same-origin request too, told from a fetch by Upgrade-Insecure-Requests.
// Where a client sends no Fetch Metadata, its Accept prefers HTML, and no script says that it is one.
func WantsDocument(header map[string][]string) bool {
	if IsPrefetch(header) {
		return false
	}
	site, mode, destination := header["Sec-Fetch-Site"], header["Sec-Fetch-Mode"], header["Sec-Fetch-Dest"]
	switch {
	case len(site)+len(mode)+len(destination) == 0:
		return len(header["X-Requested-With"]) == 0 && PrefersHTML(header["Accept"])
	case is(mode, "navigate"):
		return !slices.ContainsFunc(destination, isFrame)
	}
	return is(mode, "same-origin") && is(destination, "empty") && is(header["Upgrade-Insecure-Requests"], "1")
}

// IsFrameNavigation reports whether a request is a GET or HEAD for a page in a frame: a person sees the answer, but no form
// that refuses to be framed, and a redirect stays in the frame.
func IsFrameNavigation(method string, header map[string][]string) bool {
	return (method == "GET" || method == "HEAD") && !IsPrefetch(header) && is(header["Sec-Fetch-Mode"], "navigate") &&
		(is(header["Sec-Fetch-Dest"], "iframe") || is(header["Sec-Fetch-Dest"], "frame"))
}

// MaxReturnURL is the longest address in bytes that a login keeps to return to. It travels in the query of the login page's
// address, escaped, and of a request line proxies take 8 KiB by default, servers little more.
const MaxReturnURL = 8 << 10

// ReturnURLTooLong is the query parameter of the login page that says that the address to return to was longer than
// MaxReturnURL, and that redirect_uri is the start page of its host.
const ReturnURLTooLong = "return_too_long"

// is reports whether a header has one line, and this one.
func is(lines []string, value string) bool { return len(lines) == 1 && lines[0] == value }

func isFrame(destination string) bool {
	switch destination {
	case "iframe", "frame", "fencedframe", "embed", "object":
		return true
	}
	return false
}

// IsPrefetch reports whether a browser fetches something that nobody has asked for yet.
func IsPrefetch(header map[string][]string) bool {
	says := func(line string) bool { return strings.Contains(strings.ToLower(line), "prefetch") }
	return slices.ContainsFunc(header["Sec-Purpose"], says) || slices.ContainsFunc(header["Purpose"], says)
}

// PrefersHTML reports whether the lines of Accept ask for HTML rather than for JSON (RFC 9110, section 12.5.1): the most
// specific range that covers a type is its quality. Where both are as good, HTML must have been named: */* alone, which
// programs send, asks for nothing in particular. An element that cannot be read says nothing.
func PrefersHTML(accept []string) bool {
	html, data := unranked, unranked
	for _, line := range accept {
		for element := range strings.SplitSeq(line, ",") {
			kind, parameters, _ := strings.Cut(element, ";")
			quality, ok := qualityOf(parameters)
			if !ok {
				continue
			}
			switch kind = lower(TrimOWS(kind)); {
			case kind == "text/html":
				html.rank(exactRange, quality)
			case kind == "application/xhtml+xml":
				html.rank(kinRange, quality)
			case kind == "text/*":
				html.rank(typeRange, quality)
			case kind == "application/json" || strings.HasSuffix(kind, "+json"):
				data.rank(exactRange, quality)
			case kind == "application/*":
				data.rank(typeRange, quality)
			case kind == "*/*":
				html.rank(anyRange, quality)
				data.rank(anyRange, quality)
			}
		}
	}
	return html.quality > data.quality || html.quality > 0 && html.quality == data.quality && html.specificity >= kinRange
}

// How specific a media range is.
const (
	noRange    = iota
	anyRange   // */*
	typeRange  // text/*
	kinRange   // XHTML, whose readers read HTML too
	exactRange // text/html
)

// A ranking is how much somebody likes a media type: the quality, in thousandths, of the most specific range that covers
// it, and of several such the best.
type ranking struct{ specificity, quality int }

var unranked = ranking{noRange, 0}

func (r *ranking) rank(specificity, quality int) {
	if specificity > r.specificity || specificity == r.specificity && quality > r.quality {
		*r = ranking{specificity, quality}
	}
}

// qualityOf is the weight among parameters, in thousandths (RFC 9110, section 12.4.2); 1000 where there is none.
func qualityOf(parameters string) (thousandths int, ok bool) {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(TrimOWS(parameter), "=")
		if name == "q" || name == "Q" {
			return parseQuality(value)
		}
	}
	return 1000, true
}

func parseQuality(s string) (thousandths int, ok bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(fraction) > 3 {
		return 0, false
	}
	for _, c := range []byte(whole + (fraction + "000")[:3]) {
		if c < '0' || '9' < c {
			return 0, false
		}
		thousandths = 10*thousandths + int(c-'0')
	}
	return thousandths, thousandths <= 1000
}
