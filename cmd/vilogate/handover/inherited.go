package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// variable is set in the environment of a process that takes over: the process that set it, whether systemd holds the sockets
// (held), and the names of the descriptors from firstDescriptor on, all with ":" between them.
const variable = "VILOGATE_HANDOVER"

// firstDescriptor is the first that is handed over (SD_LISTEN_FDS_START).
const firstDescriptor = 3

// Names of descriptors that are no listeners. A listener's is the setting that it is for, such as listen.https.
const (
	StateLock = "state.lock"   // the lock of the state folder, held
	Control   = "control.sock" // the listener of the control socket
	channel   = "channel"      // to the process that hands over
)

// held says in the variable that systemd holds the sockets, too, and own that it does not.
const (
	held = "held"
	own  = "own"
)

// Descriptor is an open file with a name.
type Descriptor struct {
	Name string
	File *os.File
}

// Inherited is what a process was started with. It is owned by one goroutine.
type Inherited struct {
	// Predecessor is the process that hands over; nil where it was systemd that passed listeners.
	Predecessor *Predecessor
	// SocketActivated says that systemd holds the sockets, too: connections stay in the backlog while this process does not accept.
	SocketActivated bool
	left            []Descriptor
}

// Inherit takes what this process was started with; nil where that is nothing. An error says that something was passed which
// cannot be used.
func Inherit(getenv func(string) string) (*Inherited, error) {
	if value := getenv(variable); value != "" {
		parent, rest, _ := strings.Cut(value, ":")
		if parent != strconv.Itoa(os.Getppid()) {
			return nil, errors.New("the process that has started this one to take over from it has ended")
		}
		by, names, _ := strings.Cut(rest, ":")
		return fromPredecessor(by == held, strings.Split(names, ":"))
	}
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil // they are for another process, or there are none
	}
	count, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || count < 1 {
		return nil, nil
	}
	var names []string
	if given := strings.Split(getenv("LISTEN_FDNAMES"), ":"); len(given) == count {
		names = given
	}
	left, err := open(count, names)
	if err != nil {
		return nil, err
	}
	return &Inherited{SocketActivated: true, left: left}, nil
}

func fromPredecessor(socketActivated bool, names []string) (*Inherited, error) {
	all, err := open(len(names), names)
	if err != nil {
		return nil, err
	}
	in := &Inherited{SocketActivated: socketActivated, left: all}
	f := in.Take(channel)
	if f == nil {
		return nil, errors.Join(errors.New("the process that hands over has left no channel to itself"), in.Close())
	}
	conn, err := net.FileConn(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("the channel to the process that hands over: %w", err), in.Close())
	}
	in.Predecessor = &Predecessor{conn: conn}
	return in, nil
}

// open makes files of so many descriptors, whose names are nil where they have none. No process that this one starts has them. What
// was passed has come through exec: a descriptor that would not have is one that this process has opened, such as the runtime's.
func open(count int, names []string) (all []Descriptor, err error) {
	for i := range count {
		fd, name := firstDescriptor+i, ""
		if names != nil {
			name = names[i]
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC != 0 {
			err = errors.New("it is one of its own")
		}
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
		}
		if err != nil {
			return nil, fmt.Errorf("descriptor %d was said to be passed to this process: %w", fd, err)
		}
		all = append(all, Descriptor{name, os.NewFile(uintptr(fd), name)})
	}
	return all, nil
}

// Activated reports whether systemd passed the listeners to this very process. It is safe to ask nil.
func (in *Inherited) Activated() bool { return in != nil && in.Predecessor == nil }

// TakesOver reports whether another process hands over to this one. It is safe to ask nil.
func (in *Inherited) TakesOver() bool { return in != nil && in.Predecessor != nil }

// Take gives the first file of a name that is left, which the caller closes; nil where there is none. It is safe to ask nil.
func (in *Inherited) Take(name string) *os.File {
	if in == nil {
		return nil
	}
	return in.take(func(d Descriptor) bool { return d.Name == name })
}

func (in *Inherited) take(is func(Descriptor) bool) *os.File {
	i := slices.IndexFunc(in.left, is)
	if i < 0 {
		return nil
	}
	f := in.left[i].File
	in.left = slices.Delete(in.left, i, i+1)
	return f
}

// Left says which sockets nobody has taken, for people.
func (in *Inherited) Left() []string {
	var all []string
	for _, d := range in.left {
		network, address := socketOf(d.File)
		all = append(all, fmt.Sprintf("%s %s (%s)", network, address, d.Name))
	}
	return all
}

// Close closes what nobody has taken. It is safe to call on nil.
func (in *Inherited) Close() error {
	if in == nil {
		return nil
	}
	var all []error
	for _, d := range in.left {
		all = append(all, d.File.Close())
	}
	in.left = nil
	return errors.Join(all...)
}
