// Package websocket ends a WebSocket (RFC 6455) that runs through the gateway from outside, so that both ends are told
// why. It belongs to gateway, and is on its floor. It knows no more of the protocol than where frames begin and end.
//
//   - frames.go: where the frames of one direction end.
//   - closeframe.go: the close frame that is put in behind one.
//   - pinger.go: when pings are sent.
//   - tunnel.go: both directions of one WebSocket, and how they are ended.
//   - ping.go: the pings that both ends are sent.
//
// Of each frame the header is looked at, and the payload counted; nothing is held back. A tunnel takes less than 200 bytes.
package websocket
