package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// requestSmuggling: a message whose end can be read in two ways is refused, the connection closed, and what may be
// a second request inside it never reaches a backend.
func requestSmuggling(t *testing.T, a attackSite) {
	const smuggled = "GET /admin?smuggled HTTP/1.1\r\nHost: app.viloforge.test\r\n"
	for name, message := range map[string]string{
		"CL-TE":                 "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
		"TE-CL":                 "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + smuggled,
		"two-lengths":           "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + smuggled,
		"length-list":           "Content-Length: 0, 44\r\n\r\n" + smuggled,
		"plus":                  "Content-Length: +5\r\n\r\nhello",
		"minus":                 "Content-Length: -5\r\n\r\nhello",
		"hex":                   "Content-Length: 0x5\r\n\r\nhello",
		"empty-length":          "Content-Length:\r\n\r\n" + smuggled,
		"spaces-in-length":      "Content-Length: 1 0\r\n\r\nhello",
		"huge-length":           "Content-Length: 18446744073709551617\r\n\r\nx",
		"space-before-colon":    "Content-Length : 5\r\n\r\nhello",
		"tab-before-colon":      "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
		"obs-fold":              "X-Fold: a\r\n b\r\nContent-Length: 0\r\n\r\n",
		"fold-first":            " X-Fold: a\r\nContent-Length: 0\r\n\r\n",
		"NUL-in-value":          "X-Nul: a\x00b\r\nContent-Length: 0\r\n\r\n",
		"NUL-in-name":           "X-\x00Nul: a\r\nContent-Length: 0\r\n\r\n",
		"bare-CR-in-value":      "X-Cr: a\rX-User: admin\r\nContent-Length: 0\r\n\r\n",
		"bare-LF-line":          "X-A: b\nX-B: c\r\nContent-Length: 0\r\n\r\n",
		"bare-LF-end":           "Content-Length: 0\n\n",
		"bare-LF-then-length":   "Content-Length: 0\nContent-Length: 44\r\n\r\n" + smuggled,
		"CL-TE-hop-by-hop":      "Connection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"no-colon":              "Nonsense\r\nContent-Length: 0\r\n\r\n",
		"empty-name":            ": value\r\nContent-Length: 0\r\n\r\n",
		"TE-identity":           "Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
		"TE-gzip-chunked":       "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"TE-chunked-identity":   "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"TE-twice":              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"TE-twice-in-one":       "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"TE-xchunked":           "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"TE-quoted":             "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
		"TE-vertical-tab":       "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		"TE-empty":              "Transfer-Encoding:\r\n\r\n" + smuggled,
		"chunk-not-hex":         "Transfer-Encoding: chunked\r\n\r\nxx\r\nhello\r\n0\r\n\r\n",
		"chunk-minus":           "Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
		"chunk-0x":              "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
		"chunk-huge":            "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"chunk-bare-LF":         "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
		"chunk-longer":          "Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
		"chunk-extension-LF":    "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
		"chunk-extension-flood": "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 20000) + "\r\nh\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			second := "GET /public/second HTTP/1.1\r\nHost: app.viloforge.test\r\n" + probe.header() + "second\r\n\r\n"
			raw := "POST /public/x HTTP/1.1\r\nHost: app.viloforge.test\r\n" + probe.header() + "\r\n" + message + second
			answers, closed := a.wire(t, appHost, raw)
			if len(answers) != 1 || answers[0].status < 400 || answers[0].status > 501 || answers[0].status == http.StatusRequestTimeout || !closed {
				t.Errorf("got %v (closed: %v), want one refusal and the end of the connection", answers, closed)
			}
			seen := a.backend.with(probe.mark)
			if len(seen) > 1 || len(seen) == 1 && !strings.HasPrefix(seen[0].head, "POST /public/x ") {
				t.Errorf("the backend received %q", seen)
			}
			if len(seen) == 1 && !strings.HasPrefix(name, "chunk-") {
				t.Errorf("the backend received an ambiguous request:\n%s", seen[0].head)
			}
		})
	}
}

// malformedRequestLines: what is not HTTP/1.1 is not taken for it.
func malformedRequestLines(t *testing.T, a attackSite) {
	for name, line := range map[string]string{
		"HTTP-1.2": "GET /public/x HTTP/1.2\r\n", "HTTP-2.0": "GET /public/x HTTP/2.0\r\n", "HTTP-0.9": "GET /public/x\r\n", "HTTP-1.10": "GET /public/x HTTP/1.10\r\n",
		"lower-case": "GET /public/x http/1.1\r\n", "HTTPS": "GET /public/x HTTPS/1.1\r\n", "space-in-target": "GET /public/x y HTTP/1.1\r\n",
		"two-spaces": "GET  /public/x HTTP/1.1\r\n", "space-first": " GET /public/x HTTP/1.1\r\n", "no-method": "/public/x HTTP/1.1\r\n",
		"bad-method": "G(T /public/x HTTP/1.1\r\n", "tab": "GET\t/public/x\tHTTP/1.1\r\n", "bare-CR": "GET /public/x HTTP/1.1\rX-A: b\r\n",
		"trailing-space": "GET /public/x HTTP/1.1 \r\n", "NUL": "GET /public/\x00x HTTP/1.1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			answers, closed := a.wire(t, appHost, line+"Host: app.viloforge.test\r\n"+probe.header()+"\r\n\r\n")
			if !closed || len(answers) > 1 || len(answers) == 1 && (answers[0].status < 400 || answers[0].status > 505 || answers[0].status == http.StatusRequestTimeout) {
				t.Errorf("got %v (closed: %v), want a refusal and the end of the connection", answers, closed)
			}
			probe.none()
		})
	}
}

// http2Malformed: what HTTP/2 carries beside HTTP/1.1's meaning of a request becomes no request.
func http2Malformed(t *testing.T, a attackSite) {
	pseudo := []field{{":method", "POST"}, {":scheme", "https"}, {":path", "/public/x"}, {":authority", appHost}}
	for name, fields := range map[string][]field{
		"transfer-encoding": append(pseudo[:4:4], field{"transfer-encoding", "chunked"}),
		"connection":        append(pseudo[:4:4], field{"connection", "close"}),
		"keep-alive":        append(pseudo[:4:4], field{"keep-alive", "x"}),
		"proxy-connection":  append(pseudo[:4:4], field{"proxy-connection", "x"}),
		"upgrade":           append(pseudo[:4:4], field{"upgrade", "h2c"}),
		"te":                append(pseudo[:4:4], field{"te", "gzip"}),
		"upper-case-name":   append(pseudo[:4:4], field{"X-User", "admin"}),
		"CRLF-in-value":     append(pseudo[:4:4], field{"x-a", "b\r\nx-user: admin"}),
		"LF-in-value":       append(pseudo[:4:4], field{"x-a", "b\nx-user: admin"}),
		"NUL-in-value":      append(pseudo[:4:4], field{"x-a", "b\x00"}),
		"colon-in-name":     append(pseudo[:4:4], field{"x-user: admin\r\nx-a", "b"}),
		"space-in-name":     append(pseudo[:4:4], field{"x-user ", "admin"}),
		"empty-name":        append(pseudo[:4:4], field{"", "b"}),
		"pseudo-behind":     {pseudo[0], pseudo[1], pseudo[3], {"x-a", "b"}, pseudo[2]},
		"unknown-pseudo":    append(pseudo[:4:4], field{":user", "admin"}),
		"method-twice":      append(pseudo[:4:4], field{":method", "GET"}),
		"no-method":         pseudo[1:],
		"no-scheme":         {pseudo[0], pseudo[2], pseudo[3]},
		"no-path":           {pseudo[0], pseudo[1], pseudo[3]},
		"CRLF-in-path":      {pseudo[0], pseudo[1], {":path", "/public/x HTTP/1.1\r\nX-User: admin\r\n\r\n"}, pseudo[3]},
		"space-in-path":     {pseudo[0], pseudo[1], {":path", "/public/x HTTP/1.1"}, pseudo[3]},
		"CRLF-in-method":    {{":method", "GET /admin HTTP/1.1\r\nX-A:"}, pseudo[1], pseudo[2], pseudo[3]},
		"space-in-method":   {{":method", "GET /admin"}, pseudo[1], pseudo[2], pseudo[3]},
		"CRLF-in-authority": {pseudo[0], pseudo[1], pseudo[2], {":authority", appHost + "\r\nX-User: admin"}},
		"length-too-short":  append(pseudo[:4:4], field{"content-length", "1"}),
		"length-too-long":   append(pseudo[:4:4], field{"content-length", "100"}),
		"length-twice":      append(pseudo[:4:4], field{"content-length", "5"}, field{"content-length", "6"}),
		"length-plus":       append(pseudo[:4:4], field{"content-length", "+5"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			c := a.h2(t, appHost)
			got := c.exchange(append(fields[:len(fields):len(fields)], field{"x-probe", probe.mark + "."}), "hello")
			seen := a.backend.with(probe.mark + ".")
			if got.status != 0 && got.status != http.StatusBadRequest && got.status != http.StatusMisdirectedRequest && !forbiddenFieldDropped(name, seen) {
				t.Errorf("got %v, and the backend %q", got, seen)
			}
			for _, r := range seen {
				if strings.Contains(r.head, "admin") || len(r.values("Transfer-Encoding")) > 0 && len(r.values("Content-Length")) > 0 {
					t.Errorf("the backend received:\n%s", r.head)
				}
			}
			if len(seen) > 1 {
				t.Errorf("the backend received %d requests", len(seen))
			}
		})
	}
	t.Run("length-without-body", func(t *testing.T) {
		t.Parallel()
		probe := a.backend.probe(t)
		got := a.h2(t, appHost).exchange(append(pseudo[:4:4], field{"content-length", "5"}, field{"x-probe", probe.mark + "."}), "")
		if got.status != http.StatusBadRequest {
			t.Errorf("got %v", got)
		}
		probe.none()
	})
}

// forbiddenFieldDropped reports whether a field that HTTP/2 forbids was left out of a request that is plain otherwise.
func forbiddenFieldDropped(name string, seen []recorded) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "te", "upgrade", "space-in-path", "no-scheme":
		for _, r := range seen {
			if r.value("Connection")+r.value("Keep-Alive")+r.value("Proxy-Connection")+r.value("TE")+r.value("Upgrade") != "" {
				return false
			}
		}
		return true
	}
	return false
}

// noH2CUpgrade: an upgrade to cleartext HTTP/2 would carry requests past the gateway.
func noH2CUpgrade(t *testing.T, a attackSite) {
	for number, header := range [][]string{
		{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
		{"Connection: Upgrade", "Upgrade: h2c"},
		{"Connection: upgrade", "Upgrade: H2C, websocket"},
		{"Connection: Upgrade", "Upgrade: TLS/1.3"},
		{"Connection: Upgrade", "Upgrade: websocket"},
		{"Upgrade: h2c"},
		{"Connection: Upgrade", "Upgrade: x", "Upgrade: h2c"},
	} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			got := a.http1(t, request{host: appHost, target: "/public/x", header: append([]string{probe.header()}, header...)})
			if got.status == http.StatusSwitchingProtocols {
				t.Errorf("got %v", got)
			}
			for _, seen := range a.backend.with(probe.mark + ".") {
				if lines := append(seen.folding("Upgrade"), seen.folding("HTTP2-Settings")...); len(lines) != 0 {
					t.Errorf("the backend received %q", lines)
				}
			}
		})
	}
}
