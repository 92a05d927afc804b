package idp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/idp/token"
)

func TestUsersAreAddedAsTheyAreToBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, err := w.admin.AddUser(t.Context(), NewUser{
		Name: "b.o_b+1@x-y", Email: "bob@example.com", FullName: "Bób “the” Builder", Roles: []string{"z", "a.b-c_d", "z", "0"}, Password: "long enough",
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err := w.admin.User(t.Context(), "B.O_B+1@X-Y ")
	if err != nil || found.ID != u.ID || !slices.Equal(found.Roles, []string{"0", "a.b-c_d", "z"}) || found.FullName != "Bób “the” Builder" {
		t.Errorf("%+v, %v", found, err)
	}
	users, err := w.admin.Users(t.Context())
	if err != nil || len(users) != 2 || users[0].Name != "alice" || users[1].Name != u.Name {
		t.Errorf("%+v, %v", users, err)
	}
	text, err := json.Marshal(found)
	if err != nil || strings.Contains(string(text), "argon2") || !strings.Contains(string(text), `"user":"b.o_b+1@x-y"`) {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := w.admin.User(t.Context(), "nobody"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("nobody: %v", err)
	}
}

func TestUsersThatCouldNotBeAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf("a-role-with-a-long-name-%03d", i)
	}
	for name, change := range map[string]func(*NewUser){
		"no name":                func(n *NewUser) { n.Name = "" },
		"an upper-case name":     func(n *NewUser) { n.Name = "Bob" },
		"a name with a space":    func(n *NewUser) { n.Name = "bob " },
		"a name with a colon":    func(n *NewUser) { n.Name = "partner:bob" },
		"a name with a slash":    func(n *NewUser) { n.Name = "a/b" },
		"a name beyond ASCII":    func(n *NewUser) { n.Name = "bób" },
		"a name with a line end": func(n *NewUser) { n.Name = "bob\n" },
		"a long name":            func(n *NewUser) { n.Name = strings.Repeat("b", 65) },
		"a name that is taken":   func(n *NewUser) { n.Name = "alice" },
		"no e-mail":              func(n *NewUser) { n.Email = "" },
		"no e-mail address":      func(n *NewUser) { n.Email = "bob" },
		"two e-mail addresses":   func(n *NewUser) { n.Email = "a@b.c, d@e.f" },
		"an e-mail with a name":  func(n *NewUser) { n.Email = "Bob <bob@example.com>" },
		"an e-mail of lines":     func(n *NewUser) { n.Email = "bob@example.com\r\nBcc: x@y.z" },
		"a name from the right":  func(n *NewUser) { n.FullName = "Bob \u202e" },
		"a name of lines":        func(n *NewUser) { n.FullName = "Bob\nX-User: admin" },
		"an upper-case role":     func(n *NewUser) { n.Roles = []string{"Admin"} },
		"an empty role":          func(n *NewUser) { n.Roles = []string{""} },
		"a role with a comma":    func(n *NewUser) { n.Roles = []string{"a,b"} },
		"a role with a dash":     func(n *NewUser) { n.Roles = []string{"-a"} },
		"a long role":            func(n *NewUser) { n.Roles = []string{strings.Repeat("r", 65)} },
		"more than a token fits": func(n *NewUser) { n.Roles = many },
		"no password":            func(n *NewUser) { n.Password = "" },
		"a short password":       func(n *NewUser) { n.Password = "1234567" },
		"the name as password":   func(n *NewUser) { n.Name, n.Password = "bobbobbob", "BobBobBob" },
	} {
		n := NewUser{Name: "bob", Email: "bob@example.com", FullName: "Bob", Password: secret}
		change(&n)
		if _, err := w.admin.AddUser(t.Context(), n); err == nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the password is in the error: %v", name, err)
		}
	}
	if users, err := w.admin.Users(t.Context()); err != nil || len(users) != 1 {
		t.Errorf("%+v, %v", users, err)
	}
	if err := w.admin.SetRoles(t.Context(), "alice", many); err == nil || len(w.list.entries) > 0 {
		t.Errorf("roles that no token fits: %v, revoked %v", err, w.list.entries)
	}
}

func TestANameAndASubjectAreNeverUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	claims := w.claims(c.cookie(ssoCookie))
	if err := w.admin.Delete(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if !w.list.revoked(claims) || c.get("/account").status != http.StatusFound {
		t.Error("a deleted user is still signed in")
	}
	_, err := w.admin.AddUser(t.Context(), NewUser{Name: "alice", Email: "other@example.com", Password: secret})
	if !errors.Is(err, errUserExists) {
		t.Errorf("the name is given out again: %v", err)
	}
	if users, err := w.admin.Users(t.Context()); err != nil || len(users) != 0 {
		t.Errorf("%+v, %v", users, err)
	}
	for name, do := range map[string]func(context.Context, string) error{
		"enable": w.admin.Enable, "disable": w.admin.Disable, "delete": w.admin.Delete,
		"passwd": func(ctx context.Context, n string) error { return w.admin.SetPassword(ctx, n, next) },
		"roles":  func(ctx context.Context, n string) error { return w.admin.SetRoles(ctx, n, nil) },
	} {
		if err := do(t.Context(), "alice"); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var left int
	err = w.db.SQL().QueryRowContext(t.Context(),
		"SELECT count(*) FROM users WHERE email || full_name || roles || password <> ''").Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("something of the deleted user is left (%v)", err)
	}
}

func TestWhatAnAdministratorEndsIsOver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do            func(ctx context.Context, a *Admin) error
		session, back bool // the session lives; a login works
	}{
		"disable":  {func(ctx context.Context, a *Admin) error { return a.Disable(ctx, "alice") }, false, false},
		"delete":   {func(ctx context.Context, a *Admin) error { return a.Delete(ctx, "alice") }, false, false},
		"passwd":   {func(ctx context.Context, a *Admin) error { return a.SetPassword(ctx, "alice", next) }, false, false},
		"roles":    {func(ctx context.Context, a *Admin) error { return a.SetRoles(ctx, "alice", []string{"x"}) }, true, true},
		"sessions": {func(ctx context.Context, a *Admin) error { _, err := a.RevokeUser(ctx, "alice"); return err }, false, true},
		"session": {func(ctx context.Context, a *Admin) error {
			sessions, err := a.Sessions(ctx, "alice")
			if err != nil || len(sessions) != 1 {
				return fmt.Errorf("%v, %w", sessions, err)
			}
			return a.RevokeSession(ctx, sessions[0].ID)
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.client().login("alice")
			claims := w.claims(c.cookie(ssoCookie))
			w.list.set(func(l *list) { l.broken = true })
			if err := test.do(t.Context(), w.admin); err == nil || w.list.revoked(claims) {
				t.Fatalf("while the log is away: %v", err)
			}
			if got := c.get("/login"); got.status != http.StatusSeeOther || w.claims(c.cookie(ssoCookie)).Roles()[0] != "member" {
				t.Fatalf("something that was refused was done: %d", got.status)
			}
			w.list.set(func(l *list) { l.broken = false })
			claims = w.claims(c.cookie(ssoCookie))
			if err := test.do(t.Context(), w.admin); err != nil {
				t.Fatal(err)
			}
			if !w.list.revoked(claims) {
				t.Error("the token still opens doors")
			}
			if got := c.get("/login"); (got.status == http.StatusSeeOther) != test.session {
				t.Errorf("the session: %d", got.status)
			}
			if test.session && (w.list.revoked(w.claims(c.cookie(ssoCookie))) || w.claims(c.cookie(ssoCookie)).Roles()[0] != "x") {
				t.Errorf("the session goes on with %+v", w.claims(c.cookie(ssoCookie)))
			}
			if got := w.client().try("/login", "alice", secret); (got.status == http.StatusSeeOther) != test.back {
				t.Errorf("a login: %d", got.status)
			}
		})
	}
}

func TestADisabledUserComesBackWhenEnabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	if err := w.admin.Disable(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if u, err := w.admin.User(t.Context(), "alice"); err != nil || !u.Disabled {
		t.Errorf("%+v, %v", u, err)
	}
	if err := w.admin.Enable(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if got := c.get("/account"); got.status != http.StatusFound {
		t.Errorf("the session from before is back: %d", got.status)
	}
	c = w.client().login("alice")
	if w.list.revoked(w.claims(c.cookie(ssoCookie))) {
		t.Error("the new token is worth nothing")
	}
}

func TestSessionsAreListedWhileTheyLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("bob")
	alice := w.client()
	alice.header.Set("User-Agent", "Browser/1 \xff"+strings.Repeat("x", 300))
	alice.login("alice")
	w.client().login("alice")
	w.client().login("bob")
	all, err := w.admin.Sessions(t.Context(), "")
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	hers, err := w.admin.Sessions(t.Context(), "alice")
	if err != nil || len(hers) != 2 || hers[0].User != "alice" || hers[0].Address != "127.0.0.1" || hers[0].Expires.Before(hers[0].AuthTime) {
		t.Fatalf("%+v, %v", hers, err)
	}
	sid := w.claims(alice.cookie(ssoCookie)).Session()
	for _, s := range hers {
		if s.ID == sid && (!strings.HasPrefix(s.UserAgent, "Browser/1 x") || len(s.UserAgent) > maxUserAgent) {
			t.Errorf("user agent %q", s.UserAgent)
		}
	}
	w.list.set(func(l *list) { l.sessions[sid] = true })
	if hers, err = w.admin.Sessions(t.Context(), "alice"); err != nil || len(hers) != 1 || hers[0].ID == sid {
		t.Errorf("one that a gateway revoked is listed: %+v, %v", hers, err)
	}
	if err := w.admin.RevokeSession(t.Context(), sid); !errors.Is(err, ErrUnknownSession) {
		t.Errorf("revoking it again: %v", err)
	}
	if n, err := w.admin.RevokeUser(t.Context(), "bob"); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAdministrationWithoutAServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claims := w.claims(w.client().login("alice").cookie(ssoCookie))
	admin, err := NewAdmin(AdminOptions{DB: w.db, Revocations: w.list, Now: w.clock.now, PasswordCost: cheap})
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.SetPassword(t.Context(), "alice", next); err != nil {
		t.Fatal(err)
	}
	if !w.list.revoked(claims) {
		t.Error("the token still opens doors")
	}
	if got := w.client().try("/login", "alice", next); got.status != http.StatusSeeOther {
		t.Errorf("the new password: %d", got.status)
	}
	keys, err := admin.Keys(t.Context())
	if err != nil || len(keys) != 1 || keys[0].Algorithm != "ES256" || keys[0].ID != claims.KeyID() {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestAKeySealedWithAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := options(w.db, w.list, w.clock, w.log)
	again, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	raw := w.client().login("alice").cookie(ssoCookie)
	if again.issuer.keys.signing.ID() != w.claims(raw).KeyID() || !again.KeyReady() {
		t.Error("the key is another one after opening again")
	}
	o.SealKey = [32]byte{2}
	if _, err := New(t.Context(), o); !errors.Is(err, errSeal) {
		t.Errorf("%v, want errSeal", err)
	}
	var sealed []byte
	if err := w.db.SQL().QueryRowContext(t.Context(), "SELECT sealed FROM signing_keys").Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := token.ParsePrivateKey(sealed); err == nil {
		t.Error("the key is not sealed")
	}
}
