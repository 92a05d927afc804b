package main_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// TestScript runs the plain-text scripts in testdata/script. Beside testscript's own commands they have
//
//	start STATE ARGUMENT...   starts `vilogate ARGUMENT...`, waits for ready, and reads STATE/addresses.json: $HTTPS,
//	                          $HTTP, $ADMIN, $CA, and $PORT as it stands in public addresses (":8443")
//	end [SIGNAL]              ends it (SIGINT, else TERM or HUP-like names), wants exit status 0, prints what it said
//	kill9                     ends it as a power failure would
//	http [-nav] [-jar NAME] [-data TEXT] METHOD URL [HEADER...]
//	                          sends one request, follows nothing, and prints status, headers and body
//	login [-jar NAME] URL USER PASSWORD
//	                          follows URL to the login form, fills it in, and prints the answer to it
//	until PATTERN COMMAND...  repeats an http command until what it prints matches
//
// `exec vilogate …` runs the binary under test. Each script has its own folder, its own HOME and its own ports.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata", "script"),
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			tb, ok := env.T().(testing.TB)
			if !ok {
				return errors.New("testscript runs without a testing.TB")
			}
			s := &script{tb: tb, clients: map[string]*client{}}
			s.site = &site{process: &process{tb: tb}, dir: env.WorkDir}
			env.Values[scriptKey{}] = s
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("PATH", filepath.Dir(commandBinary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("FREE", freeAddress(tb))
			return os.Chmod(env.WorkDir, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "end": end, "kill9": kill9, "http": httpCommand, "login": loginCommand, "until": until, "redis": redisCommand, "occupy": occupy,
		},
	})
}

type scriptKey struct{}

// script is what one script has running.
type script struct {
	tb      testing.TB
	site    *site
	clients map[string]*client // user agents by the names of their cookie jars
}

func of(ts *testscript.TestScript) *script {
	s, ok := ts.Value(scriptKey{}).(*script)
	if !ok {
		ts.Fatalf("no script")
	}
	return s
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start STATE ARGUMENT...")
	}
	s := of(ts)
	s.site = &site{process: &process{tb: s.tb}, dir: ts.Getenv("WORK"), state: ts.MkAbs(args[0]), arguments: args[1:]}
	s.site.process = launch(s.tb, ts.MkAbs("."), environ(ts), binary, args[1:]...)
	process := s.site.process
	s.tb.Cleanup(process.checkOutput)
	select {
	case <-process.output.ready:
	case <-process.ended:
		ts.Fatalf("vilogate %s ended before it was ready: %v\n%s", strings.Join(args[1:], " "), process.err, process.output)
	case <-time.After(waitTimeout):
		ts.Fatalf("vilogate %s did not become ready:\n%s", strings.Join(args[1:], " "), process.output)
	}
	s.site.readAddresses()
	s.clients = map[string]*client{}
	for name, value := range map[string]string{"HTTPS": s.site.at.HTTPS, "HTTP": s.site.at.HTTP, "ADMIN": s.site.at.Admin, "CA": s.site.at.CA} {
		ts.Setenv(name, value)
	}
	if _, port, err := net.SplitHostPort(s.site.at.HTTPS); err == nil {
		ts.Setenv("PORT", ":"+port)
	}
}

// environ is the script's environment, for a process that it starts.
func environ(ts *testscript.TestScript) []string {
	var list []string
	for _, name := range []string{"PATH", "HOME", "NO_COLOR", "TMPDIR", "JWT_SECRET", "APP_URL"} {
		if value := ts.Getenv(name); value != "" {
			list = append(list, name+"="+value)
		}
	}
	return list
}

func end(ts *testscript.TestScript, _ bool, args []string) {
	signal := syscall.SIGINT
	if len(args) > 0 && args[0] == "TERM" {
		signal = syscall.SIGTERM
	}
	process := of(ts).site.process
	if err := process.terminate(signal); err != nil {
		ts.Fatalf("ended with %v\n%s", err, process.output)
	}
	fmt.Fprint(ts.Stdout(), process.output)
}

func kill9(ts *testscript.TestScript, _ bool, _ []string) { of(ts).site.kill() }

// client is the user agent that keeps the cookies of a jar.
func (s *script) client(jar string) *client {
	if s.clients[jar] == nil {
		s.clients[jar] = s.site.client()
	}
	return s.clients[jar]
}

// flags takes leading options off a command's arguments.
func flags(ts *testscript.TestScript, args []string) (options map[string]string, rest []string) {
	options = map[string]string{}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name := args[0]
		args = args[1:]
		if name == "-nav" {
			options[name] = "yes"
			continue
		}
		if len(args) == 0 {
			ts.Fatalf("%s needs a value", name)
		}
		options[name], args = args[0], args[1:]
	}
	return options, args
}

func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	got, err := sendAsScript(ts, args)
	if neg {
		if err == nil {
			ts.Fatalf("answered: %v", got)
		}
		return
	}
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), shown(got))
}

func sendAsScript(ts *testscript.TestScript, args []string) (answer, error) {
	options, args := flags(ts, args)
	if len(args) < 2 {
		ts.Fatalf("usage: http [-nav] [-jar NAME] [-data TEXT] METHOD URL [HEADER...]")
	}
	header := args[2:]
	if options["-nav"] != "" {
		header = append(slices.Clone(navigation), header...)
	}
	return of(ts).client(options["-jar"]).try(args[0], args[1], options["-data"], header...)
}

// shown is an answer as scripts compare it: one header a line, sorted, then the body.
func shown(a answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", a.status, http.StatusText(a.status))
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		for _, value := range a.header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	return b.String() + "\n" + strings.TrimSuffix(a.body, "\n") + "\n"
}

func loginCommand(ts *testscript.TestScript, _ bool, args []string) {
	options, args := flags(ts, args)
	if len(args) != 3 {
		ts.Fatalf("usage: login [-jar NAME] URL USER PASSWORD")
	}
	fmt.Fprint(ts.Stdout(), shown(of(ts).client(options["-jar"]).loginAt(args[0], args[1], args[2])))
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || args[1] != "http" {
		ts.Fatalf("usage: until PATTERN http ...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var last string
	eventually(of(ts).tb, args[0], func() bool {
		got, err := sendAsScript(ts, args[2:])
		last = shown(got)
		return err == nil && pattern.MatchString(last)
	})
	fmt.Fprint(ts.Stdout(), last)
}

// redisCommand starts a redis-server on $REDIS.
func redisCommand(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("REDIS", redistest.New(of(ts).tb).Address)
}

// occupy listens on a port, $TAKEN, until the script's end.
func occupy(ts *testscript.TestScript, _ bool, _ []string) {
	tb := of(ts).tb
	listener := listenLoopback(tb)
	tb.Cleanup(func() { closeQuietly(tb, listener) })
	ts.Setenv("TAKEN", listener.Addr().String())
}
