// Command vilogate is the gateway, the identity provider, or both in one process, and the commands to run them.
//
// It stands on floor 4, and only speaks with people: main calls run, so that a test can start the program as a value; each
// command is a file of its own name, with its flags, what it prints and how it exits. What a command runs or asks is below:
// server is the process, config the file, state the folder, control the socket of a running server.
//
// What this package keeps: nothing is printed that scripts do not hold it to, and what a running server is asked for goes
// through its control socket, which only the owner of the state folder can open.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

func main() {
	ctx := context.Background()
	if !skipsGracefulShutdown(os.Args[1:]) {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	}
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr); err != nil {
		printError(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

// skipsGracefulShutdown reports whether a command only reads and computes: it needs no graceful shutdown, and keeps the
// default action of signals.
func skipsGracefulShutdown(args []string) bool {
	return len(args) > 0 && (args[0] == "policy" || args[0] == "check")
}

type commands struct {
	Dev        devCommand         `cmd:"" help:"Run the whole system on this machine, with nothing to configure."`
	Serve      serveCommand       `cmd:"" help:"Run what the configuration says: the gateway, the identity provider, or both."`
	Check      checkCommand       `cmd:"" help:"Validate configuration and policies, without side effects."`
	Reload     reloadCommand      `cmd:"" help:"Have the running process read its configuration and policies again."`
	Status     statusCommand      `cmd:"" help:"Tell how the running process is: readiness, and the addresses of its upstreams."`
	User       userCommands       `cmd:"" help:"Administer users."`
	Session    sessionCommands    `cmd:"" help:"List and end sessions."`
	Keys       keysCommands       `cmd:"" help:"List the keys that sign logins."`
	Policy     policyCommands     `cmd:"" help:"Check, test, explain and compare policies."`
	Cert       certCommands       `cmd:"" help:"Administer certificates."`
	Client     unsupportedCommand `cmd:"" passthrough:"" help:"Administer OAuth clients (not supported yet)."`
	Token      tokenCommands      `cmd:"" help:"Explain what becomes of a token."`
	Backend    backendCommand     `cmd:"" help:"Run one of the demo backends."`
	Version    versionCommand     `cmd:"" help:"Print the version."`
	Completion completionCommand  `cmd:"" help:"Print a script that completes commands in your shell."`
}

// run is the program. It returns when the command is done; canceling ctx asks it to finish early.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	w := &commandEnv{ctx, getenv, stdin, stdout, stderr}
	var all commands
	helpShown := false
	parser, err := kong.New(&all,
		kong.Name("vilogate"),
		kong.Description("A gateway that signs people in once, at the edge, and tells backends who is asking."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helpShown = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return fmt.Errorf("building the command line parser: %w", err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	switch {
	case helpShown:
		return nil
	case err != nil:
		return usageError{err}
	}
	return command.Run(w, parser.Model)
}

// exitCode is 2 for a command line that makes no sense, and 1 for everything else that goes wrong.
func exitCode(err error) int {
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// printError prints an error for a person. Errors of a file are one a line, as editors take them.
func printError(to io.Writer, err error) {
	text := "vilogate: " + err.Error()
	var places strictyaml.Errors
	switch {
	case errors.As(err, &places) && places.Error() == err.Error():
		text = err.Error()
	case errors.As(err, new(usageError)):
		text += "; `vilogate --help` lists what there is"
	}
	if _, err := fmt.Fprintln(to, text); err != nil {
		os.Exit(1)
	}
}

type policyCommands struct {
	Check   policyCheckCommand   `cmd:"" help:"Look for everything that is wrong or doubtful about the policies."`
	Test    policyTestCommand    `cmd:"" help:"Run the tests of the policies, those in *_test.yaml too."`
	Explain policyExplainCommand `cmd:"" help:"Say how a request is decided, why, and what it would take to be admitted."`
	Diff    policyDiffCommand    `cmd:"" help:"Say which requests two folders of policies decide differently."`
	Replay  policyReplayCommand  `cmd:"" help:"Say which requests of an audit log other policies would have decided differently."`
	Schema  policySchemaCommand  `cmd:"" help:"Print the JSON Schema of policies, tests or the configuration, for editors."`
}

type certCommands struct {
	Status  certStatusCommand  `cmd:"" help:"Tell how the certificates are: names, end, next renewal, last error."`
	Renew   certRenewCommand   `cmd:"" help:"Obtain certificates now, due or not."`
	Dev     certDevCommand     `cmd:"" help:"Get a certificate for a developer's machine."`
	Trust   certTrustCommand   `cmd:"" help:"Have this machine trust the local CA."`
	Untrust certUntrustCommand `cmd:"" help:"Take that back."`
}
