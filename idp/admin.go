package idp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/internal/password"
	"github.com/viloforge/vilogate/idp/token"
)

// Admin is what an administrator may do with users, sessions and keys. What ends something returns once that was
// acknowledged by the revocation list; when it fails, nothing was changed. It is safe for concurrent use.
type Admin struct {
	directory *directory
	passwords *password.Pool
	// unlock forgets the failed logins that this process counts for a name; nil where it counts none.
	unlock func(name string)
}

// administrator is whom an administrator's hashes are computed for: nobody from the network.
var administrator = password.Client{Known: true}

// AdminOptions are what administration needs where no identity provider runs. All but PasswordCost are required.
type AdminOptions struct {
	DB          *database.DB
	Revocations Revocations
	Now         func() time.Time
	// PasswordCost is what hashing a password costs. Optional: password.DefaultCost.
	PasswordCost password.Cost
}

// NewAdmin administers a database that no server holds.
func NewAdmin(o AdminOptions) (*Admin, error) {
	if o.DB == nil || o.Revocations == nil || o.Now == nil {
		return nil, errors.New("administration: a database, a revocation list and a clock are required")
	}
	if o.PasswordCost == (password.Cost{}) {
		o.PasswordCost = password.DefaultCost()
	}
	passwords, err := password.NewPool(o.PasswordCost, 1, 1)
	if err != nil {
		return nil, fmt.Errorf("administration: %w", err)
	}
	return &Admin{directory: newDirectory(o.DB, o.Revocations, o.Now, token.LongestSession), passwords: passwords}, nil
}

// NewUser is a user to be added.
type NewUser struct {
	Name     string   `json:"user"`
	Email    string   `json:"email"`
	FullName string   `json:"name"` // optional
	Roles    []string `json:"roles"`
	Password string   `json:"password"`
}

// AddUser adds a user. A name that is taken, or was, is an error.
func (a *Admin) AddUser(ctx context.Context, n NewUser) (User, error) {
	roles, rolesErr := canonicalRoles(n.Roles)
	err := errors.Join(checkUserName(n.Name), checkEmail(n.Email), rolesErr,
		checkPassword(n.Password, n.Name, a.directory.db.Demo()))
	if err != nil {
		return User{}, err
	}
	now := a.directory.now()
	added := account{User: User{
		Name: n.Name, Email: n.Email, FullName: n.FullName, Roles: roles,
		Created: now.Truncate(time.Second), PasswordChanged: now.Truncate(time.Second),
	}}
	if err := checkTokenSize(added.User); err != nil {
		return User{}, err
	}
	if added.password, err = a.passwords.Hash(ctx, administrator, n.Password); err != nil {
		return User{}, err
	}
	return a.directory.insertAccount(ctx, added)
}

// Users lists the users by name.
func (a *Admin) Users(ctx context.Context) ([]User, error) { return a.directory.accounts(ctx) }

// User returns one user: ErrUnknownUser when there is none of that name.
func (a *Admin) User(ctx context.Context, name string) (User, error) {
	found, err := a.find(ctx, name)
	return found.User, err
}

func (a *Admin) find(ctx context.Context, name string) (account, error) {
	found, err := a.directory.findAccount(ctx, canonicalUserName(name))
	if errors.Is(err, ErrUnknownUser) {
		err = fmt.Errorf("%q: %w", name, err)
	}
	return found, err
}

// SetPassword gives a user another password, and ends the user's sessions and tokens.
func (a *Admin) SetPassword(ctx context.Context, name, next string) error {
	user, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	if err := checkPassword(next, user.Name, a.directory.db.Demo()); err != nil {
		return err
	}
	hash, err := a.passwords.Hash(ctx, administrator, next)
	if err != nil {
		return err
	}
	_, err = a.directory.revokeSubject(ctx, user.ID, "", a.directory.newPassword(user.ID, hash))
	return err
}

// SetRoles gives a user other roles, and ends the user's tokens: the sessions go on, with the new roles.
func (a *Admin) SetRoles(ctx context.Context, name string, roles []string) error {
	user, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	if user.Roles, err = canonicalRoles(roles); err != nil {
		return err
	}
	if err := checkTokenSize(user.User); err != nil {
		return err
	}
	return a.directory.revokeTokens(ctx, user.ID, change("setting roles", "UPDATE users SET roles = ? WHERE id = ?",
		strings.Join(user.Roles, ","), user.ID))
}

// Disable keeps a user from signing in, and ends the user's sessions and tokens.
func (a *Admin) Disable(ctx context.Context, name string) error {
	user, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	_, err = a.directory.revokeSubject(ctx, user.ID, "", change("disabling a user", "UPDATE users SET disabled = 1 WHERE id = ?", user.ID))
	return err
}

// Enable lets a disabled user sign in again.
func (a *Admin) Enable(ctx context.Context, name string) error {
	user, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	return a.directory.db.Write(ctx, change("enabling a user", "UPDATE users SET disabled = 0 WHERE id = ?", user.ID))
}

// Unlock forgets a user's failed logins, strangers' and those of browsers that the user signed in from.
func (a *Admin) Unlock(ctx context.Context, name string) error {
	user, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	if a.unlock != nil {
		a.unlock(user.Name)
	}
	return a.directory.db.Write(ctx, change("unlocking a user", "UPDATE known_browsers SET failures = 0 WHERE user_id = ?", user.ID))
}

// Delete deletes a user, and ends the user's sessions and tokens. The name and the subject stay taken for ever.
func (a *Admin) Delete(ctx context.Context, name string) error {
	user, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	_, err = a.directory.revokeSubject(ctx, user.ID, "", change("deleting a user",
		"UPDATE users SET email = '', full_name = '', roles = '', password = '', deleted = ? WHERE id = ?",
		a.directory.now().Unix(), user.ID))
	return err
}

// Sessions lists the sessions that live, the newest first; of one user where a name is given.
func (a *Admin) Sessions(ctx context.Context, name string) ([]Session, error) {
	if name == "" {
		return a.directory.sessions(ctx, "", "")
	}
	user, err := a.find(ctx, name)
	if err != nil {
		return nil, err
	}
	return a.directory.sessions(ctx, user.ID, "")
}

// RevokeSession ends a session and its tokens: ErrUnknownSession when none of that id lives.
func (a *Admin) RevokeSession(ctx context.Context, id string) error {
	if id == "" {
		return ErrUnknownSession
	}
	found, err := a.directory.sessions(ctx, "", id)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return fmt.Errorf("%q: %w", id, ErrUnknownSession)
	default:
		return a.directory.revokeSessions(ctx, sessionEntry(found[0].ID, found[0].Expires))
	}
}

// RevokeUser ends all sessions and tokens of a user, and returns how many sessions that were.
func (a *Admin) RevokeUser(ctx context.Context, name string) (int, error) {
	user, err := a.find(ctx, name)
	if err != nil {
		return 0, err
	}
	return a.directory.revokeSubject(ctx, user.ID, "", noChange)
}

// Keys lists the keys that sign logins, the newest first.
func (a *Admin) Keys(ctx context.Context) ([]Key, error) { return a.directory.keys(ctx) }
