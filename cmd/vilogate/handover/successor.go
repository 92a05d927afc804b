package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Successor is the process that is to take over from this one. Its methods are safe for concurrent use.
type Successor struct {
	cmd     *exec.Cmd
	channel closer
	ended   chan struct{} // closed when it has ended
	err     error         // how; read only after ended is closed
}

// ErrEnded says that the new process has ended.
var ErrEnded = errors.New("the new process has ended")

// Start starts the program that the command line of this process names, as it is now, with the same arguments and
// environment, and gives it the descriptors. socketActivated says that systemd holds the sockets among them, too. The caller closes
// his own.
func Start(descriptors []Descriptor, socketActivated bool) (s *Successor, err error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return nil, fmt.Errorf("finding the new program: %w", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("making the channel to the new process: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), channel), os.NewFile(uintptr(pair[1]), channel)
	conn, err := net.FileConn(ours)
	if err := errors.Join(err, ours.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("making the channel to the new process: %w", err), theirs.Close())
	}
	s = &Successor{channel: closer{conn: conn}, ended: make(chan struct{})}
	all := append([]Descriptor{{channel, theirs}}, descriptors...)
	names := make([]string, len(all))
	s.cmd = &exec.Cmd{Path: path, Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	for i, d := range all {
		names[i] = d.Name
		s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, d.File)
	}
	by := own
	if socketActivated {
		by = held
	}
	s.cmd.Env = append(environment(os.Environ()), fmt.Sprintf("%s=%d:%s:%s", variable, os.Getpid(), by, strings.Join(names, ":")))
	err = errors.Join(s.cmd.Start(), theirs.Close())
	if err != nil {
		s.channel.close()
		return nil, fmt.Errorf("starting the new process: %w", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// environment is that of this process, without what says which descriptors it was started with.
func environment(all []string) []string {
	var kept []string
	for _, one := range all {
		switch name, _, _ := strings.Cut(one, "="); name {
		case variable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID":
		default:
			kept = append(kept, one)
		}
	}
	return kept
}

// PID is its process.
func (s *Successor) PID() int { return s.cmd.Process.Pid }

// AwaitReady waits until it says that it accepts connections. The error is ErrEnded where it ends before, or that of ctx.
func (s *Successor) AwaitReady(ctx context.Context) error {
	err := awaitLine(ctx, s.channel.conn, ready, ErrEnded)
	if errors.Is(err, ErrEnded) {
		return s.failure(ctx)
	}
	return err
}

// Watch waits for a while, and says how it has ended where it does, or that ctx has.
func (s *Successor) Watch(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.ended:
		return s.failure(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failure says how it has ended, once it has. The error is that of ctx where it has hung up, and goes on.
func (s *Successor) failure(ctx context.Context) error {
	select {
	case <-s.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.err == nil {
		return ErrEnded
	}
	return fmt.Errorf("%w: %w", ErrEnded, s.err)
}

// TakeOver tells it that it is in charge from now on.
func (s *Successor) TakeOver() error {
	if _, err := io.WriteString(s.channel.conn, takeOver); err != nil {
		return fmt.Errorf("telling the new process to take over: %w", err)
	}
	return nil
}

// Release tells it that nothing is left that this process keeps from it.
func (s *Successor) Release() { s.channel.close() }

// End ends a process that was not told to take over: it may finish what it has begun within the timeout, and is killed then.
// End returns when it has ended.
func (s *Successor) End(timeout time.Duration) {
	s.channel.close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-s.ended:
		return
	case <-timer.C:
		_ = s.cmd.Process.Kill() // likewise
	}
	<-s.ended
}
