package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
	"github.com/viloforge/vilogate/idp"
)

type userCommands struct {
	Add     userAddCommand     `cmd:"" help:"Add a user."`
	List    userListCommand    `cmd:"" help:"List the users."`
	Show    userShowCommand    `cmd:"" help:"Show a user."`
	Passwd  userPasswdCommand  `cmd:"" help:"Set a user's password; ends the user's sessions."`
	Roles   userRolesCommand   `cmd:"" help:"Set a user's roles; ends the user's tokens."`
	Disable userDisableCommand `cmd:"" help:"Keep a user from signing in; ends the user's sessions."`
	Enable  userEnableCommand  `cmd:"" help:"Let a disabled user sign in again."`
	Unlock  userUnlockCommand  `cmd:"" help:"Forget a user's failed logins, which slow further ones down."`
	Delete  userDeleteCommand  `cmd:"" help:"Delete a user; the name is not used again."`
}

type userAddCommand struct {
	target        `embed:""`
	Name          string   `arg:"" help:"The user's name: lower case, [a-z0-9._@+-]."`
	Email         string   `required:"" help:"The user's e-mail address."`
	FullName      string   `name:"name" help:"The user's full name."`
	Roles         []string `help:"The user's roles, comma-separated."`
	PasswordStdin bool     `help:"Read the password from standard input, instead of asking for it."`
	JSON          bool     `help:"Print JSON."`
}

func (c *userAddCommand) Run(w *commandEnv) error {
	password, err := readPassword(w, c.Name, c.PasswordStdin)
	if err != nil {
		return err
	}
	u, err := call[idp.User](w, c.target, "user/add", idp.NewUser{Name: c.Name, Email: c.Email, FullName: c.FullName, Roles: c.Roles, Password: password}, true)
	if err != nil {
		return err
	}
	return printUser(w, c.JSON, u)
}

type userListCommand struct {
	target `embed:""`
	JSON   bool `help:"Print JSON."`
}

func (c *userListCommand) Run(w *commandEnv) error {
	users, err := call[[]idp.User](w, c.target, "user/list", control.Nothing{}, true)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(w, users)
	}
	return printTable(w.stdout, "NAME\tEMAIL\tFULL NAME\tROLES\tSTATE", func(row func(...string)) {
		for _, u := range users {
			row(u.Name, u.Email, u.FullName, strings.Join(u.Roles, ","), userState(u))
		}
	})
}

type userShowCommand struct {
	target `embed:""`
	Name   string `arg:"" help:"The user's name."`
	JSON   bool   `help:"Print JSON."`
}

func (c *userShowCommand) Run(w *commandEnv) error {
	u, err := call[idp.User](w, c.target, "user/show", administration.UserName{Name: c.Name}, true)
	if err != nil {
		return err
	}
	return printUser(w, c.JSON, u)
}

type userPasswdCommand struct {
	target        `embed:""`
	Name          string `arg:"" help:"The user's name."`
	PasswordStdin bool   `help:"Read the password from standard input, instead of asking for it."`
}

func (c *userPasswdCommand) Run(w *commandEnv) error {
	password, err := readPassword(w, c.Name, c.PasswordStdin)
	if err != nil {
		return err
	}
	return callAndPrint(w, c.target, "user/passwd", administration.UserPasswd{Name: c.Name, Password: password}, "the password of %s is set, and its sessions are over", c.Name)
}

type userRolesCommand struct {
	target `embed:""`
	Name   string `arg:"" help:"The user's name."`
	Roles  string `arg:"" help:"All roles that the user is to have, comma-separated; \"\" for none."`
}

func (c *userRolesCommand) Run(w *commandEnv) error {
	roles := strings.FieldsFunc(c.Roles, func(r rune) bool { return r == ',' })
	return callAndPrint(w, c.target, "user/roles", administration.UserRoles{Name: c.Name, Roles: roles}, "%s has the roles %q", c.Name, strings.Join(roles, ","))
}

type userDisableCommand struct {
	target `embed:""`
	Name   string `arg:"" help:"The user's name."`
}

func (c *userDisableCommand) Run(w *commandEnv) error {
	return callAndPrint(w, c.target, "user/disable", administration.UserName{Name: c.Name}, "%s is disabled, and its sessions are over", c.Name)
}

type userEnableCommand struct {
	target `embed:""`
	Name   string `arg:"" help:"The user's name."`
}

func (c *userEnableCommand) Run(w *commandEnv) error {
	return callAndPrint(w, c.target, "user/enable", administration.UserName{Name: c.Name}, "%s may sign in again", c.Name)
}

type userUnlockCommand struct {
	target `embed:""`
	Name   string `arg:"" help:"The user's name."`
}

func (c *userUnlockCommand) Run(w *commandEnv) error {
	return callAndPrint(w, c.target, "user/unlock", administration.UserName{Name: c.Name}, "%s may try to sign in again at once", c.Name)
}

type userDeleteCommand struct {
	target `embed:""`
	Name   string `arg:"" help:"The user's name."`
}

func (c *userDeleteCommand) Run(w *commandEnv) error {
	return callAndPrint(w, c.target, "user/delete", administration.UserName{Name: c.Name}, "%s is deleted, and its sessions are over", c.Name)
}

// callAndPrint calls an action that has no result, and prints that it was done.
func callAndPrint(w *commandEnv, t target, name string, in any, format string, a ...any) error {
	if _, err := call[control.Nothing](w, t, name, in, true); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w.stdout, format+"\n", a...)
	return err
}

func printUser(w *commandEnv, asJSON bool, u idp.User) error {
	if asJSON {
		return printJSON(w.stdout, u)
	}
	return printTable(w.stdout, "", func(row func(...string)) {
		row("name", u.Name)
		row("id", u.ID)
		row("email", u.Email)
		row("full name", u.FullName)
		row("roles", strings.Join(u.Roles, ","))
		row("state", userState(u))
		row("created", formatTime(u.Created))
	})
}

func userState(u idp.User) string {
	if u.Disabled {
		return "disabled"
	}
	return "enabled"
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// printList prints JSON; an empty list is [], not null.
func printList[T any](w *commandEnv, list []T) error {
	if list == nil {
		list = []T{}
	}
	return printJSON(w.stdout, list)
}

// printTable prints aligned columns.
func printTable(to io.Writer, head string, rows func(row func(...string))) error {
	t := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	var err error
	line := func(text string) {
		if err == nil {
			_, err = fmt.Fprintln(t, text)
		}
	}
	if head != "" {
		line(head)
	}
	rows(func(cells ...string) { line(strings.Join(cells, "\t")) })
	return errors.Join(err, t.Flush())
}

// readPassword takes a password from standard input, or asks for it twice. It is never an argument, which other users of
// the machine could see.
func readPassword(w *commandEnv, name string, fromStdin bool) (string, error) {
	if fromStdin {
		line, err := bufio.NewReader(io.LimitReader(w.stdin, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			return "", errors.New("there is no password on standard input")
		}
		return line, nil
	}
	if !isTerminal(w.stdin) {
		return "", errors.New("there is no terminal to ask for the password; give it on standard input with --password-stdin")
	}
	first, err := promptPassword(w, "New password for "+name+": ")
	if err != nil {
		return "", err
	}
	second, err := promptPassword(w, "The same again: ")
	switch {
	case err != nil:
		return "", err
	case first != second:
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}

func promptPassword(w *commandEnv, question string) (string, error) {
	if _, err := fmt.Fprint(w.stderr, question); err != nil {
		return "", err
	}
	answer, err := term.ReadPassword(int(w.stdin.(*os.File).Fd()))
	if _, err := fmt.Fprintln(w.stderr); err != nil {
		return "", err
	}
	return string(answer), err
}
