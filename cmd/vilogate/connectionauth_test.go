package main_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// connectionBackend is as IIS is: Negotiate and NTLM log its connection in, and every request on it after that is served as
// whoever did. It serves connections until the test ends.
func connectionBackend(t *testing.T) string {
	t.Helper()
	listener := listenLoopback(t)
	t.Cleanup(func() { closeQuietly(t, listener) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveConnection(t, conn)
		}
	}()
	return "http://" + listener.Addr().String()
}

var connectionLogin = regexp.MustCompile(`(?im)^authorization:\s*(?:negotiate|ntlm|nego2|kerberos|credssp|pku2u)\s+(\w+)`)

func serveConnection(t *testing.T, conn net.Conn) {
	defer closeQuietly(t, conn)
	reader, who := bufio.NewReader(conn), ""
	for {
		r, err := readRecorded(reader)
		if err != nil {
			return
		}
		if found := connectionLogin.FindStringSubmatch(r.head); found != nil {
			who = found[1]
		}
		status, body := "200 OK", "hello "+who
		if who == "" {
			status, body = "401 Unauthorized", "who are you"
		}
		challenge := ""
		if _, asked, ok := strings.Cut(r.target(), "?challenge="); ok && who == "" {
			for line := range strings.SplitSeq(strings.NewReplacer("%20", " ", "%22", `"`).Replace(asked), "|") {
				challenge += "WWW-Authenticate: " + line + "\r\n"
			}
		}
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", status, challenge, len(body), body); err != nil {
			return
		}
	}
}

// TestALoginOfAConnectionIsNobodyElses: credentials of Negotiate and NTLM never reach a connection that others are lent, and
// nobody is asked for them.
func TestALoginOfAConnectionIsNobodyElses(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("\nupstreams: { app: { url: %q } }\n", connectionBackend(t)),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
	})
	for _, p := range protocols() {
		for _, credentials := range []string{
			"Negotiate alice", "NTLM alice", "negotiate alice", "nTLM\talice", "NEGOTIATE  alice", "Nego2 alice", "Kerberos alice", "Negotiate",
			"CredSSP alice", "PKU2U alice",
		} {
			t.Run(p.name+"/"+credentials, func(t *testing.T) {
				got := p.send(s, t, request{host: appHost, header: []string{"Authorization: " + credentials}})
				if got.status != http.StatusForbidden || !strings.HasSuffix(got.problem(t).Type, "/connection-auth") {
					t.Errorf("got %v", got)
				}
				if got := p.send(s, t, request{host: appHost}); got.status != http.StatusUnauthorized {
					t.Errorf("a stranger got %v", got)
				}
			})
		}
		for challenge, want := range map[string]string{
			"Negotiate": "", "NTLM": "", "CredSSP": "", "PKU2U,%20credssp": "", "negotiate%20YIIabc==": "", "Negotiate|NTLM": "", "Negotiate,%20NTLM": "",
			"Negotiate|Basic%20realm=%22a,%20NTLM%22":               `Basic realm="a, NTLM"`,
			"Negotiate%20YII=,%20Digest%20realm=%22a%22,%20nonce=1": `Digest realm="a", nonce=1`,
			"Digest%20realm=%22a%22,%20nonce=1,%20NTLM,%20Basic":    `Digest realm="a", nonce=1, Basic`,
			"Bearer%20realm=%22Negotiate%22":                        `Bearer realm="Negotiate"`,
			"Basic%20realm=%22NTLM%22,%20charset=%22UTF-8%22":       `Basic realm="NTLM", charset="UTF-8"`,
		} {
			t.Run(p.name+"/challenge/"+challenge, func(t *testing.T) {
				got := p.send(s, t, request{host: appHost, target: "/?challenge=" + challenge})
				if line := strings.Join(got.header.Values("WWW-Authenticate"), " | "); got.status != http.StatusUnauthorized || line != want {
					t.Errorf("%d, WWW-Authenticate %q, want %q", got.status, line, want)
				}
			})
		}
	}
	// A scheme that signs a request in is the backend's business.
	if got := s.http1(t, request{host: appHost, header: []string{"Authorization: Basic YTpi"}}); got.status != http.StatusUnauthorized || got.body != "who are you" {
		t.Errorf("got %v", got)
	}
	for _, want := range []string{`Authorization by NTLM: it logs a connection in`, `the upstream asks for Negotiate, which is not passed on`} {
		if !strings.Contains(s.output.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}
