// Package handover is how a process gets descriptors from the one that starts it, and gives them to another: listeners from
// systemd (socket activation), and all that a server has to itself, when a new program takes over from it.
//
//   - inherited.go: what this process was started with ([Inherit]); socket.go, address.go: the sockets in it, by address.
//   - channel.go: what the two processes of a handover tell each other.
//   - successor.go: starting the process that takes over ([Start]), duplicate.go: with descriptors that this one keeps.
//   - notify.go: telling systemd how the process is (sd_notify).
//
// A handover has two steps, so that each side can still go back after the first. The new process makes everything it needs,
// accepts connections beside the old one, and says that it is ready. The old one then looks on for a while, gives up what one
// process alone may do, and tells the new one to take over. Until then the new process ends when the old one does, or when the
// old one has waited for too long; the old one just goes on. What the old process keeps beyond that, HTTP/3, is the new one's
// when the channel between them ends.
//
// systemd's variables (sd_listen_fds) cannot say what a handover has to: LISTEN_PID is the process that they are for, and
// between fork and exec nothing of ours runs that knows it. So a handover has a variable of its own, with the process that set
// it, which is the parent's for as long as it counts.
//
// It belongs to cmd/vilogate, stands on floor 1, and knows nothing of what is served.
package handover
