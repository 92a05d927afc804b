package streams

import "time"

// A Stream is a request under way, for as long as an index knows it: from Begin to Finish.
type Stream struct {
	holder     Holder
	begun      time.Time
	prev, next *Stream // in the shard; guarded by its lock
	state      state   // likewise
	shard      uint8
	entry      *entry // once it is registered; guarded by the shard's lock
}

type state uint8

const (
	unknown    state = iota // to the index
	young                   // in its shard's list
	registered              // in the entries
)
