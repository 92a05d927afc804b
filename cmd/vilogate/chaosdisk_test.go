package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/viloforge/vilogate/gateway/audit"
)

// chaosDisk is the file system on which a gateway has its state, its audit log and bodies.
type chaosDisk struct {
	t       *testing.T
	dir     string
	mounted bool // else it is the machine's, and files are kept from growing
	killed  int  // how often its gateway was, which may leave a record cut short
}

// newChaosDisk mounts a file system of its own at dir, for an hour's records. Where that is not permitted, as in most containers, it says
// so: the disk is full then in that the process that runs may not write to files (RLIMIT_FSIZE); one that starts may.
func newChaosDisk(t *testing.T, dir string) *chaosDisk {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	switch err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128m,mode=0700"); {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		t.Logf("no file system may be mounted at %s (%v): RLIMIT_FSIZE of the running process takes the place of one that is full", dir, err)
		return &chaosDisk{t: t, dir: dir}
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &chaosDisk{t: t, dir: dir, mounted: true}
}

// fill leaves no room to the process that has its files there, until free is called: what it gives back meanwhile is taken, too.
func (d *chaosDisk) fill(p *process) (free func()) {
	if !d.mounted {
		var room unix.Rlimit
		d.check(unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Max: unix.RLIM_INFINITY}, &room))
		return func() {
			if p.running() { // else it took its limit with it
				d.check(unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &room, nil))
			}
		}
	}
	file, err := os.CreateTemp(d.dir, "other-*")
	if err != nil {
		d.t.Error(err)
		return func() {}
	}
	full, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		zeros := make([]byte, 1<<20)
		fill := func() {
			for err := error(nil); !errors.Is(err, syscall.ENOSPC); {
				if _, err = file.Write(zeros); err != nil && !errors.Is(err, syscall.ENOSPC) {
					d.t.Error(err)
					return
				}
			}
		}
		fill()
		close(full)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				fill()
			}
		}
	}()
	<-full
	return func() {
		close(stop)
		<-stopped
		d.check(errors.Join(file.Close(), os.Remove(file.Name())))
	}
}

func (d *chaosDisk) check(err error) {
	if err != nil {
		d.t.Error(err)
	}
}

// log is the audit log.
func (d *chaosDisk) log() string { return filepath.Join(d.dir, "audit.log") }

// fillDisk fills the disk of a gateway for a while. The log and the metrics say so, and what is lost: of gateway 0, which refuses what it
// cannot record, the records of what it refused, and of gateway 1 none.
func (w *chaosWorld) fillDisk(i int, last func()) {
	g := w.gateways[i]
	of := func(name string) int { return g.metric(w.t, "vilogate_audit_"+name) }
	failures, lost := of("write_failures_total"), of("records_dropped_total")
	free := w.disks[i].fill(g.process)
	eventually(w.t, "a full disk is noticed", func() bool { return of("write_failures_total") > failures })
	c := w.fronts[i].client() // the load may be at the other gateway
	defer c.http.CloseIdleConnections()
	want := [2]int{http.StatusServiceUnavailable, http.StatusOK}[i]
	eventually(w.t, fmt.Sprintf("gateway %d answers with %d on a full disk", i, want), func() bool {
		got, err := c.try(http.MethodGet, c.site.url("app", "/open"), "")
		return err == nil && got.status == want
	})
	last()
	free()
	eventually(w.t, "records are written again", func() bool { return of("failing") == 0 })
	if lost = of("records_dropped_total") - lost; lost > 0 != (i == 0) {
		w.t.Errorf("gateway %d: %d records are lost to a full disk", i, lost)
	}
	for _, line := range []string{"audit log write failed", "audit log writes recovered"} {
		if !strings.Contains(g.output.String(), line) {
			w.t.Errorf("gateway %d does not say: %s", i, line)
		}
	}
}

// recorded are the ids of the requests that the audit log has. All its lines are records, but for what a kill cut short.
func (d *chaosDisk) recorded() map[string]bool {
	ids, short := map[string]bool{}, 0
	for record, err := range audit.ReadAll(d.log()) {
		switch {
		case err == nil:
			ids[record.RequestID] = true
		case errors.As(err, new(*audit.LineError)) && short < d.killed:
			short++
		default:
			d.t.Error(err)
		}
	}
	return ids
}

// missRecords puts requests that were answered and have no record into the account.
func (l *chaosLoad) missRecords() {
	first, second := l.disks[0].recorded(), l.disks[1].recorded()
	l.account.mu.Lock()
	defer l.account.mu.Unlock()
	for id, r := range l.passed {
		if !first[id] && !second[id] {
			l.counts["failed: "+r.kind]++
			l.failures = append(l.failures, r)
		}
	}
	l.t.Logf("of %d requests that were answered, the audit logs have %d", len(l.passed), len(l.passed)-l.counts["failed: record"])
}

// TestAStartOnAFullDisk: a process that ends while its disk is full starts again, and serves. The log says what is not written.
func TestAStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	listen := fmt.Sprintf("listen: { https: %q, http: \"off\", admin: %q }", freeAddress(t), freeAddress(t))
	s := prepare(t, map[string]string{
		"vilogate.yaml": strings.Replace(serveConfig, `listen: { https: "127.0.0.1:0", http: "127.0.0.1:0", admin: "127.0.0.1:0" }`, listen, 1) +
			fmt.Sprintf("upstreams: { app: { url: %q } }\naudit: { file: state/audit.log, on_failure: drop }\n", record(t).url()),
		"policies/app.yaml": attackedPolicy,
	})
	disk := newChaosDisk(t, s.state)
	s.start()
	free := disk.fill(s.process)
	s.kill()
	s.startAt()
	if got := s.client().get(s.url("app", "/public/x")); got.status != http.StatusOK {
		t.Errorf("on a full disk: %v", got)
	}
	if _, err := os.Stat(filepath.Join(s.state, "addresses.json")); (err == nil) == strings.Contains(s.output.String(), "the disk is full: this process serves") {
		t.Errorf("addresses.json: %v, and the log does not tell", err)
	}
	free()
	eventually(t, "records are written again", func() bool { return s.metric(t, "vilogate_audit_failing") == 0 })
	s.kill()
	s.start()
}
