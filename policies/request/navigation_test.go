package request

import (
	"strings"
	"testing"
)

func TestPrefersHTML(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"": false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8": true,
		"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2":                                             true,
		"text/html":                                    true,
		"TEXT/HTML":                                    true,
		"Text/Html;Q=0.5":                              true,
		" \ttext/html ; q=0.5\t":                       true,
		"application/xhtml+xml":                        true,
		"text/html;level=1;q=0.4":                      true,
		"text/html;charset=utf-8":                      true,
		"text/*":                                       true,
		"text/*;q=0.5, */*;q=0.1":                      true,
		"text/html;q=0.001":                            true,
		"text/html;q=1.000":                            true,
		"text/html, application/json":                  true,
		"application/json, text/html":                  true,
		"application/json;q=0.9, text/html":            true,
		"text/html, */*":                               true,
		"application/json;q=0, */*":                    true,
		"text/html;q=0.3, application/json;q=0.2, */*": true,
		"text/html;q=0.1, application/json":            false,
		"text/html;q=0":                                false,
		"text/html;q=0.000":                            false,
		"text/html;q=0, */*":                           false,
		"text/html;q=0, application/xhtml+xml, text/*": false,
		"text/html;q=0.5, */*":                         false,
		"text/html;q=0.5, application/*;q=0.6":         false,
		"application/json, text/html;q=0.999":          false,
		"application/problem+json, text/html;q=0.9":    false,
		"application/ld+json;q=0.8, text/html;q=0.7":   false,
		"*/*":                                   false,
		"*":                                     false,
		"*/*;q=0.1":                             false,
		"text/css,*/*;q=0.1":                    false,
		"text/*, */*":                           false,
		"text/plain":                            false,
		"application/json":                      false,
		"text/htmlx":                            false,
		"x-text/html":                           false,
		"text / html":                           false,
		",,;,":                                  false,
		"text/html;q=":                          false,
		"text/html;q":                           false,
		"text/html;q=x":                         false,
		"text/html;q=2":                         false,
		"text/html;q=1.001":                     false,
		"text/html;q=-1":                        false,
		"text/html;q=0.1234":                    false,
		"text/html;q=NaN":                       false,
		"text/html;q=+1":                        false,
		"text/html;q=1e0":                       false,
		"text/html;q=0.5.5":                     false,
		"text/html; q = 1":                      true, // the name of another parameter
		"application/json;q=x, text/html;q=0.1": true, // what cannot be read says nothing
	} {
		if got := PrefersHTML([]string{accept}); got != want {
			t.Errorf("%q: %v", accept, got)
		}
		if elements := strings.Split(accept, ","); PrefersHTML(elements) != want {
			t.Errorf("%q, an element a line: %v", elements, !want)
		}
	}
	if PrefersHTML(nil) {
		t.Error("without Accept")
	}
}

// TestNavigations: what browsers send on the way to a page, also behind a service worker that only passes it on
// (FlowFuse/node-red-dashboard#2213), and what looks like it.
func TestNavigations(t *testing.T) {
	t.Parallel()
	const html = "Accept: text/html,*/*;q=0.8"
	for name, c := range map[string]struct {
		header []string
		want   bool
	}{
		"a tab":                               {[]string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", html}, true},
		"a tab, and any Accept":               {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: application/json"}, true},
		"the mode alone":                      {[]string{"Sec-Fetch-Mode: navigate"}, true},
		"Chromium's service worker":           {[]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: empty", "Upgrade-Insecure-Requests: 1", html}, true},
		"Firefox's service worker":            {[]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", "Upgrade-Insecure-Requests: 1", html}, true},
		"a same-origin fetch":                 {[]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", html}, false},
		"a same-origin image":                 {[]string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: image", "Upgrade-Insecure-Requests: 1", html}, false},
		"a fetch":                             {[]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", html}, false},
		"a fetch that upgrades":               {[]string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Upgrade-Insecure-Requests: 1", html}, false},
		"an image":                            {[]string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", html}, false},
		"the site alone":                      {[]string{"Sec-Fetch-Site: same-origin", html}, false},
		"the destination alone":               {[]string{"Sec-Fetch-Dest: document", html}, false},
		"an iframe":                           {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", html}, false},
		"a frame":                             {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: frame", html}, false},
		"an object":                           {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object", html}, false},
		"an embed":                            {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: embed", html}, false},
		"two modes":                           {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: cors", html}, false},
		"a prefetch":                          {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Purpose: prefetch", html}, false},
		"a prerender":                         {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Purpose: prefetch;prerender", html}, false},
		"an older prefetch":                   {[]string{"Purpose: Prefetch", html}, false},
		"without Fetch Metadata":              {[]string{html}, true},
		"a script's request":                  {[]string{html, "X-Requested-With: XMLHttpRequest"}, false},
		"a script's request, as a navigation": {[]string{"Sec-Fetch-Mode: navigate", "X-Requested-With: com.example.webview"}, true},
		"curl":                                {[]string{"Accept: */*"}, false},
		"nothing":                             {nil, false},
	} {
		header := map[string][]string{}
		for _, line := range c.header {
			name, value, _ := strings.Cut(line, ": ")
			header[name] = append(header[name], value)
		}
		if got := WantsDocument(header); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		for method, may := range map[string]bool{"GET": true, "HEAD": true, "POST": false, "OPTIONS": false, "get": false} {
			if got := IsNavigation(method, header); got != (c.want && may) {
				t.Errorf("%s %s: %v", method, name, got)
			}
		}
	}
}
