package idp

import "strings"

// What browsers call themselves in User-Agent (RFC 9110, section 10.1.5), in words for people. The words are of these tables
// alone, and never of what was sent. A product that is not known is one that another browser's name may stand beside, and so
// it is an unknown browser.

// browserProducts are the products that name a browser: of several the first here counts, since each also sends those of the
// browsers that it descends from.
var browserProducts = []struct{ product, words string }{
	{"Edg", "Edge"},
	{"EdgA", "Edge"},
	{"EdgiOS", "Edge"},
	{"OPR", "Opera"},
	{"SamsungBrowser", "Samsung Internet"},
	{"Vivaldi", "Vivaldi"},
	{"FxiOS", "Firefox"},
	{"Firefox", "Firefox"},
	{"CriOS", "Chrome"},
	{"HeadlessChrome", "Chrome"},
	{"Chrome", "Chrome"},
	{"Version", "Safari"}, // Safari alone says its version so
}

// otherProducts are those that browsers send besides.
var otherProducts = []string{"Mozilla", "AppleWebKit", "Gecko", "Safari", "Mobile"}

// systems are what the first comment names a system by; the first that is in it counts.
var systems = []struct{ comment, words string }{
	{"iPhone", "iPhone"},
	{"iPad", "iPad"},
	{"Android", "Android"},
	{"CrOS", "ChromeOS"},
	{"Windows NT", "Windows"},
	{"Macintosh", "a Mac or iPad"}, // an iPad says that it is a Mac
	{"Linux", "Linux"},
}

// describeUserAgent says which browser on which system a User-Agent claims to be.
func describeUserAgent(userAgent string) string {
	products, comment := splitUserAgent(userAgent)
	browser := "Unknown browser"
	for _, b := range browserProducts {
		if products[b.product] {
			browser = b.words
			break
		}
	}
	for _, b := range browserProducts {
		delete(products, b.product)
	}
	for _, product := range otherProducts {
		delete(products, product)
	}
	if len(products) > 0 {
		browser = "Unknown browser"
	}
	for _, s := range systems {
		if strings.Contains(comment, s.comment) {
			return browser + " on " + s.words
		}
	}
	return browser
}

// splitUserAgent returns the names of the products, and the first comment.
func splitUserAgent(userAgent string) (products map[string]bool, comment string) {
	products = map[string]bool{}
	for userAgent != "" {
		before, rest, _ := strings.Cut(userAgent, "(")
		for _, field := range strings.Fields(before) {
			name, _, _ := strings.Cut(field, "/")
			products[name] = true
		}
		inside, after, _ := strings.Cut(rest, ")")
		if comment == "" {
			comment = inside
		}
		userAgent = after
	}
	return products, comment
}
