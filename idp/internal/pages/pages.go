// Package pages is what people see of the identity provider: HTML that needs no JavaScript, fits a phone, and speaks to
// password managers and screen readers.
//
// Each page is a type whose fields are all that it shows; html/template escapes them. The one style is part of the page,
// and is named by its hash in the page's Content-Security-Policy, so that a page is one answer and nothing else is run or
// loaded.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"time"
)

//go:embed *.html
var files embed.FS

//go:embed style.css
var css string

// Page is one of the pages of this package.
type Page interface {
	name() string
	// Heading is the page's title and first line.
	Heading() string
	// Failed reports whether the page says that something was wrong: then its title says so first, for people who listen.
	Failed() bool
}

// Login is the login form.
type Login struct {
	Token, TokenField string
	User              string // as it was typed
	Error             string // what was wrong with the last attempt
	Reauthenticate    bool   // somebody is signed in, and has to show once more who they are
	OtherAccount      bool   // somebody is signed in, and wants to be somebody else
	ReturnHost        string // the host that it leads back to
	Shortened         bool   // the address that it should lead back to was too long to be kept: it is the host's start page
}

func (Login) name() string { return "login.html" }

// Heading is the page's title.
func (p Login) Heading() string {
	switch {
	case p.Reauthenticate:
		return "Sign in again"
	case p.OtherAccount:
		return "Sign in with another account"
	}
	return "Sign in"
}

// Failed reports whether an attempt failed.
func (p Login) Failed() bool { return p.Error != "" }

// Logout asks whether to sign out.
type Logout struct {
	Token, TokenField string
	Error             string
}

func (Logout) name() string { return "logout.html" }

// Heading is the page's title.
func (Logout) Heading() string { return "Sign out?" }

// Failed reports whether an attempt failed.
func (p Logout) Failed() bool { return p.Error != "" }

// SignedOut says that nobody is signed in, and, when Done, that this was just brought about.
type SignedOut struct {
	Done bool
	// Clear is an image of the host where somebody signed out, whose answer has the browser forget its pages; "" for none.
	Clear string
}

func (SignedOut) name() string { return "signedout.html" }

// Heading is the page's title.
func (p SignedOut) Heading() string {
	if p.Done {
		return "You are signed out"
	}
	return "Nobody is signed in"
}

// Failed is false.
func (SignedOut) Failed() bool { return false }

// TooManyCookies says that a browser sends more sign-in cookies than can be checked, and offers to remove them.
type TooManyCookies struct{ Token, TokenField string }

func (TooManyCookies) name() string { return "toomanycookies.html" }

// Heading is the page's title.
func (TooManyCookies) Heading() string { return "You are not signed out" }

// Failed is false: the heading says it.
func (TooManyCookies) Failed() bool { return false }

// CookiesRemoved says that a browser was told to remove its cookies.
type CookiesRemoved struct{}

func (CookiesRemoved) name() string { return "cookiesremoved.html" }

// Heading is the page's title.
func (CookiesRemoved) Heading() string { return "Your cookies are removed" }

// Failed is false.
func (CookiesRemoved) Failed() bool { return false }

// Account shows people who they are.
type Account struct {
	TokenField, Token, LogoutToken string
	User, FullName, Email          string
	Roles                          []string
	Sessions                       []Session // the current one first
	PasswordFirst                  bool      // whoever ends another session is asked for the password
	Error                          string    // what was wrong with a change
	Done                           string    // what was just changed
	Action                         string    // where its forms go
	BackURL, BackHost              string    // where people came from, and whose that is; "" where that is not known
}

// Session is one of the sessions that the account page lists.
type Session struct {
	ID          string
	Browser     string // and its system, in words of ours
	Network     string // the address that it began at
	Since, Used time.Time
	Current     bool // the one that asks
	New         bool // its browser is new to the account
}

func (Account) name() string { return "account.html" }

// Heading is the page's title.
func (Account) Heading() string { return "Your account" }

// Failed reports whether a change failed.
func (p Account) Failed() bool { return p.Error != "" }

// Loop stops a redirect loop.
type Loop struct{ Cookie, Domain, Back string }

func (Loop) name() string { return "loop.html" }

// Heading is the page's title.
func (Loop) Heading() string { return "This goes in circles" }

// Failed is true.
func (Loop) Failed() bool { return true }

// Shortened says that somebody is signed in, and that the address that they wanted was too long to be kept.
type Shortened struct{ Host, Home string }

func (Shortened) name() string { return "shortened.html" }

// Heading is the page's title.
func (Shortened) Heading() string { return "You are signed in" }

// Failed is false.
func (Shortened) Failed() bool { return false }

// Message says why there is nothing else to see.
type Message struct {
	Title, Detail string
	SignIn        bool
	RequestID     string
}

func (Message) name() string { return "message.html" }

// Heading is the page's title.
func (p Message) Heading() string { return p.Title }

// Failed is false: the heading says it.
func (Message) Failed() bool { return false }

var (
	templates = template.Must(template.ParseFS(files, "*.html"))
	// StyleSource is the style as a source of style-src.
	StyleSource = styleSource()
)

func styleSource() string {
	sum := sha256.Sum256([]byte(css))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// pageData is what the templates see: the page as .Page, and what is the same on all.
type pageData struct {
	Page  Page
	Style template.CSS
}

// Render makes the HTML of a page.
func Render(p Page) ([]byte, error) {
	var body bytes.Buffer
	err := templates.ExecuteTemplate(&body, p.name(), pageData{Page: p, Style: template.CSS(css)})
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	return body.Bytes(), nil
}
