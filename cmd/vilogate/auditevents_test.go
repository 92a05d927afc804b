package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// events are those that an audit log holds so far.
func events(t *testing.T, path string) (all []*audit.Event) {
	t.Helper()
	for e, err := range audit.ReadEvents(path) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// awaitEvent returns the newest event of a kind once there are so many.
func awaitEvent(t *testing.T, path, kind string, count int) (last *audit.Event) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d records of %s", count, kind), func() bool {
		found := 0
		for _, e := range events(t, path) {
			if e.Event == kind {
				last, found = e, found+1
			}
		}
		return found >= count
	})
	return last
}

// TestAdministrationAndLoginsAreRecorded: who did what to whom, from where and with which result; decisions are read as ever,
// and no password, token or secret of a session is there.
func TestAdministrationAndLoginsAreRecorded(t *testing.T) {
	t.Parallel()
	a := audited(t, "fsync: always")
	log := a.auditLog()
	add := awaitEvent(t, log, "user.add", 3)
	if add.User != "nora" || add.Result != audit.Success || add.Actor == nil || add.Actor.UID == nil || *add.Actor.UID != os.Geteuid() || add.Actor.PID == 0 || add.Actor.SystemUser == "" {
		t.Errorf("user add: %+v of %+v", add, add.Actor)
	}
	a.must("", "user", "roles", "alice", "member,editor", "--state", a.state)
	if e := awaitEvent(t, log, "user.roles", 1); e.User != "alice" || fmt.Sprint(e.Roles) != "[member editor]" || e.Result != audit.Success {
		t.Errorf("user roles: %+v", e)
	}
	if _, _, err := a.command("", "user", "disable", "nobody", "--state", a.state); err == nil {
		t.Error("nobody was disabled")
	}
	if e := awaitEvent(t, log, "user.disable", 1); e.User != "nobody" || e.Result != audit.Failure || e.Reason == "" {
		t.Errorf("a failed user disable: %+v", e)
	}
	a.must("another password of nora", "user", "passwd", "nora", "--password-stdin", "--state", a.state)
	awaitEvent(t, log, "user.passwd", 1)
	a.must("", "user", "unlock", "nora", "--state", a.state)
	awaitEvent(t, log, "user.unlock", 1)
	a.must("", "session", "revoke", "--user", "carol", "--state", a.state)
	if e := awaitEvent(t, log, "session.revoke", 1); e.User != "carol" {
		t.Errorf("session revoke: %+v", e)
	}
	a.must("", "reload", "--state", a.state)
	awaitEvent(t, log, "reload", 1)
	a.must("", "user", "delete", "carol", "--state", a.state)
	awaitEvent(t, log, "user.delete", 1)

	c := a.client()
	for name, reason := range map[string]string{"alice": "wrong-password", "hunter2-typed-as-a-name": "unknown-user"} {
		if got := c.loginAt(a.url("login", "/login"), name, "wrong-password-typed"); got.status != http.StatusUnauthorized {
			t.Fatalf("%v", got)
		}
		eventually(t, "a failed login of "+name, func() bool {
			all := events(t, log)
			e := all[len(all)-1]
			return e.Event == "login" && e.Result == audit.Failure && e.Reason == reason && (e.User == "alice") == (name == "alice") && e.Client.String() == "127.0.0.1" && e.RequestID != ""
		})
	}
	before := 0
	for _, e := range events(t, log) {
		if e.Event == "login" {
			before++
		}
	}
	c.login("alice")
	login := awaitEvent(t, log, "login", before+1)
	if login.Result != audit.Success || login.User != "alice" || login.Subject == "" || login.Session == "" || login.Actor != nil {
		t.Errorf("login: %+v", login)
	}
	sso, session := c.sso(), c.cookie("login", sessionCookie)
	if got := c.logout("app"); got.status != http.StatusNoContent {
		t.Fatal(got)
	}
	if e := awaitEvent(t, log, "logout", 1); e.Session != login.Session || e.Actor == nil || e.Actor.Session != login.Session || e.User != "alice" || e.Result != audit.Success {
		t.Errorf("logout at the gateway: %+v", e)
	}
	c.login("alice")
	account := c.open(a.url("login", "/account"))
	f := formIn(t, a.url("login", "/account"), account.body, "new_password")
	f.fields.Set("password", "not my password")
	f.fields.Set("new_password", "quite another password")
	f.fields.Set("new_password_again", "quite another password")
	if got := c.submit(f); got.status != http.StatusForbidden {
		t.Errorf("a wrong current password: %v", got)
	}
	if e := awaitEvent(t, log, "password.change", 1); e.Result != audit.Failure || e.Actor == nil || e.Actor.User != "alice" || e.Reason != "wrong-password" {
		t.Errorf("a failed change: %+v", e)
	}
	if got := c.submit(formIn(t, a.url("login", "/logout"), c.open(a.url("login", "/logout")).body, "")); got.status != http.StatusSeeOther {
		t.Errorf("logout on the login host: %v", got)
	}
	if e := awaitEvent(t, log, "logout", 2); e.User != "alice" || e.Actor == nil || e.Actor.Session == "" {
		t.Errorf("logout on the login host: %+v", e)
	}
	if a.audit(t, a.http1(t, request{host: appHost, target: "/public/x"})).Decision != "allow" {
		t.Error("decisions are not read beside events")
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{sso, session, passwordOf("alice"), "wrong-password-typed", "hunter2", "another password", "not my password"} {
		if strings.Contains(string(data), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	metrics := a.admin(t, "/metrics").body
	if !strings.Contains(metrics, "\nvilogate_login_failures_total 3\n") {
		t.Error("failed logins are not counted")
	}
}

// TestACommandWithoutAServerIsRecorded: into the same files.
func TestACommandWithoutAServerIsRecorded(t *testing.T) {
	t.Parallel()
	a := audited(t, "fsync: off")
	if err := a.terminate(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	a.must("", "user", "disable", "alice", "--state", a.state)
	if e := awaitEvent(t, a.auditLog(), "user.disable", 1); e.User != "alice" || e.Actor == nil || *e.Actor.UID != os.Geteuid() {
		t.Errorf("%+v", e)
	}
}

// TestAnIdPApartRecords what happens in it, and refuses logins that it cannot record.
func TestAnIdPApartRecords(t *testing.T) {
	t.Parallel()
	listen := freeAddress(t)
	f := &fleet{t: t, redis: redistest.New(t), login: "http://" + listen, backend: record(t)}
	f.idp = serve(t, map[string]string{"vilogate.yaml": fmt.Sprintf(`
domain: viloforge.test
public_port: 443
listen: { https: "off", http: "off", admin: "127.0.0.1:0" }
state: state
drain: { delay: 0s, timeout: 10s }
redis: %q
%s
trusted_proxies: [ "127.0.0.0/8" ]
login: { host: login.viloforge.test }
idp: { listen: %q, return_hosts: ["*.viloforge.test"] }
audit: { file: audit.log, fsync: always }
`, f.redis.URL(), fleetSecret, listen)})
	f.idp.addUser("alice", "member")
	log := filepath.Join(f.idp.dir, "audit.log")
	if e := awaitEvent(t, log, "user.add", 1); e.User != "alice" {
		t.Errorf("%+v", e)
	}
	gateway := f.gateway()
	gateway.client().login("alice")
	if e := awaitEvent(t, log, "login", 1); e.User != "alice" || e.Result != audit.Success || e.Client.String() != "127.0.0.1" || e.RequestID == "" {
		t.Errorf("%+v", e)
	}
}
