package idp

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/viloforge/vilogate/idp/token/names"
)

var (
	// ErrUnknownUser means that there is no user of that name.
	ErrUnknownUser = errors.New("there is no such user")
	// errUserExists means that the name is taken, or was once: names are not given out twice.
	errUserExists = errors.New("the name is taken, or was once, and names are not given out twice")
)

const (
	maxPassword = 1024
	minPassword = 8
)

// User is somebody who may sign in.
type User struct {
	ID              string    `json:"id"` // the subject: stable, never used again
	Name            string    `json:"user"`
	Email           string    `json:"email"`
	FullName        string    `json:"name"`
	Roles           []string  `json:"roles"` // sorted
	Disabled        bool      `json:"disabled"`
	Created         time.Time `json:"created"`
	PasswordChanged time.Time `json:"password_changed"`
}

// account is a user with what nobody else needs to know.
type account struct {
	User
	password string // PHC
	epoch    int64
}

// canonicalUserName is the one spelling of a user name: lower case, without space around it. Every spelling of an account that
// could sign in has the same.
func canonicalUserName(input string) string { return strings.ToLower(strings.TrimSpace(input)) }

func checkUserName(name string) error {
	switch {
	case name == "" || len(name) > names.MaxUser:
		return fmt.Errorf("a user name has 1 to %d characters", names.MaxUser)
	case !names.IsUser(name):
		return fmt.Errorf("%q is no user name: it is lower case, of a-z, 0-9 and . _ @ + -", name)
	default:
		return nil
	}
}

func checkEmail(email string) error {
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email || len(email) > 254 {
		return fmt.Errorf("%q is no e-mail address", email)
	}
	return nil
}

// canonicalRoles returns the roles sorted, each once.
func canonicalRoles(roles []string) ([]string, error) {
	for _, role := range roles {
		if !names.IsRole(role) {
			return nil, fmt.Errorf("%q is no role: it is lower case, of a-z, 0-9 and . _ -, begins with a letter or digit, and has at most %d characters", role, names.MaxRole)
		}
	}
	sorted := slices.Clone(roles)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}

// checkPassword says what is wrong with a new password. Demo users may have any.
func checkPassword(password, name string, demo bool) error {
	switch {
	case len(password) > maxPassword:
		return fmt.Errorf("a password has at most %d bytes", maxPassword)
	case password == "":
		return errors.New("a password is not empty")
	case demo:
		return nil
	case utf8.RuneCountInString(password) < minPassword:
		return fmt.Errorf("a password has at least %d characters", minPassword)
	case canonicalUserName(password) == name:
		return errors.New("a password is not the user name")
	default:
		return nil
	}
}

const accountColumns = "id, name, email, full_name, roles, password, epoch, disabled, created, changed"

// scanner is a row, or rows at one.
type scanner interface{ Scan(into ...any) error }

func scanAccount(row scanner) (a account, err error) {
	var roles string
	var created, changed int64
	err = row.Scan(&a.ID, &a.Name, &a.Email, &a.FullName, &roles, &a.password, &a.epoch, &a.Disabled, &created, &changed)
	a.Roles = splitList(roles)
	a.Created, a.PasswordChanged = time.Unix(created, 0), time.Unix(changed, 0)
	return a, err
}

// splitList is a list as the database keeps it, separated by commas.
func splitList(s string) []string {
	if s == "" {
		return []string{}
	}
	return strings.Split(s, ",")
}

// findAccount returns the user of a canonical name, also a disabled one.
func (d *directory) findAccount(ctx context.Context, name string) (account, error) {
	a, err := scanAccount(d.db.SQL().QueryRowContext(ctx, "SELECT "+accountColumns+" FROM users WHERE name = ? AND deleted IS NULL", name))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return account{}, ErrUnknownUser
	case err != nil:
		return account{}, fmt.Errorf("finding a user: %w", err)
	default:
		return a, nil
	}
}

// accounts returns all users by name.
func (d *directory) accounts(ctx context.Context) (users []User, err error) {
	rows, err := d.db.SQL().QueryContext(ctx, "SELECT "+accountColumns+" FROM users WHERE deleted IS NULL ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	users = []User{}
	for rows.Next() {
		a, err := scanAccount(rows)
		if err != nil {
			return nil, fmt.Errorf("listing users: %w", err)
		}
		users = append(users, a.User)
	}
	return users, rows.Err()
}

// insertAccount makes a user of what was checked before.
func (d *directory) insertAccount(ctx context.Context, a account) (User, error) {
	a.ID = strings.ToLower(rand.Text())
	result, err := d.db.SQL().ExecContext(ctx, `INSERT INTO users (id, name, email, full_name, roles, password, created, changed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
		a.ID, a.Name, a.Email, a.FullName, strings.Join(a.Roles, ","), a.password, a.Created.Unix(), a.PasswordChanged.Unix())
	if err != nil {
		return User{}, fmt.Errorf("adding a user: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return User{}, errors.Join(errUserExists, err)
	}
	return a.User, nil
}

// newPassword is the change that gives a user another password.
func (d *directory) newPassword(subject, hash string) func(*sql.Tx) error {
	return change("setting a password", "UPDATE users SET password = ?, changed = ? WHERE id = ?", hash, d.now().Unix(), subject)
}

// change is one statement of a transaction.
func change(doing, statement string, args ...any) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		if _, err := tx.Exec(statement, args...); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return nil
	}
}
