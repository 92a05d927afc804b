package token

import "fmt"

// SetEntry is an entry of a key set as a person has to know of it.
type SetEntry struct {
	ID    string // its kid, where that can be shown
	Index int    // in the set, from 0
	Err   error  // why no token is verified with it; nil where it is a good one
}

// String names the entry.
func (e SetEntry) String() string {
	if e.ID == "" {
		return fmt.Sprintf("key %d", e.Index+1)
	}
	return fmt.Sprintf("key %d (kid %q)", e.Index+1, e.ID)
}

// InspectSet judges each entry of a key set by itself. The error is for a set that
// ParseSet refuses as a whole.
func InspectSet(data []byte) ([]SetEntry, error) {
	list, err := readSet(data)
	if err != nil {
		return nil, err
	}
	entries := make([]SetEntry, len(list))
	for i, v := range list {
		entries[i] = SetEntry{Index: i}
		m := jwkMembers{v.members}
		if id, err := m.text("kid"); err == nil && checkIdentifier(id) == nil {
			entries[i].ID = id
		}
		if _, err := parseKey(v); err != nil {
			entries[i].Err = err
		}
		if m.secret() {
			entries[i].Err = ErrPrivateKey
		}
	}
	return entries, nil
}
