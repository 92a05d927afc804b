package main

import (
	"errors"
	"fmt"

	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
	"github.com/viloforge/vilogate/idp"
)

type sessionCommands struct {
	List   sessionListCommand   `cmd:"" help:"List the sessions that are alive."`
	Revoke sessionRevokeCommand `cmd:"" help:"End a session, or all sessions of a user."`
}

type sessionListCommand struct {
	target `embed:""`
	User   string `help:"Only this user's sessions."`
	JSON   bool   `help:"Print JSON."`
}

func (c *sessionListCommand) Run(w *commandEnv) error {
	sessions, err := call[[]idp.Session](w, c.target, "session/list", administration.UserName{Name: c.User}, true)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(w, sessions)
	}
	return printTable(w.stdout, "ID\tUSER\tSIGNED IN\tLAST USED\tENDS\tADDRESS", func(row func(...string)) {
		for _, s := range sessions {
			row(s.ID, s.User, formatTime(s.AuthTime), formatTime(s.Used), formatTime(s.Expires), s.Address)
		}
	})
}

type sessionRevokeCommand struct {
	target `embed:""`
	ID     string `arg:"" optional:"" help:"The session's id."`
	User   string `help:"End everything of this user instead."`
}

func (c *sessionRevokeCommand) Run(w *commandEnv) error {
	if (c.ID == "") == (c.User == "") {
		return usageError{errors.New("session revoke takes either an ID or --user NAME")}
	}
	ended, err := call[int](w, c.target, "session/revoke", administration.SessionRevoke{ID: c.ID, User: c.User}, true)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "%d session(s) ended\n", ended)
	return err
}
