package streams

import "github.com/viloforge/vilogate/idp/revocation"

// An entry is a registered stream in the lists of its owner.
type entry struct {
	holder Holder
	owner  Owner
	ended  bool // it was told to; it stays until it does
	links  [lists]link
}

type link struct{ prev, next *entry }

// list is what entries are found by.
type list uint8

const (
	all list = iota
	byToken
	bySession
	bySubject
	lists
)

// key is an issuer and its jti or sid, or its subject as revocations name it; the zero key in the list of all.
type key struct{ issuer, id string }

// keys are the keys of an owner, by list; without an id it stands in no such list.
func (o *Owner) keys() [lists]key {
	k := [lists]key{byToken: {o.Issuer, o.Token}, bySession: {o.Issuer, o.Session}, bySubject: {issuer: o.Issuer}}
	if o.Subject != "" {
		k[bySubject].id = revocation.SubjectID(o.Subject)
	}
	return k
}

// entries are the registered streams.
type entries struct {
	heads [lists]map[key]*entry // of doubly linked lists
	count int
}

func newEntries() (e entries) {
	for i := range e.heads {
		e.heads[i] = map[key]*entry{}
	}
	return e
}

func (s *entries) add(e *entry) {
	s.count++
	for l, k := range e.owner.keys() {
		if list(l) != all && k.id == "" {
			continue
		}
		head := s.heads[l][k]
		if e.links[l].next = head; head != nil {
			head.links[l].prev = e
		}
		s.heads[l][k] = e
	}
}

func (s *entries) remove(e *entry) {
	s.count--
	for l, k := range e.owner.keys() {
		if list(l) != all && k.id == "" {
			continue
		}
		at := e.links[l]
		if at.next != nil {
			at.next.links[l].prev = at.prev
		}
		switch {
		case at.prev != nil:
			at.prev.links[l].next = at.next
		case at.next != nil:
			s.heads[l][k] = at.next
		default:
			delete(s.heads[l], k)
		}
	}
}

// of returns the entries of a list that have not been told to end and for which want is true; nil for each of them.
func (s *entries) of(l list, k key, want func(*entry) bool) (found []*entry) {
	for e := s.heads[l][k]; e != nil; e = e.links[l].next {
		if !e.ended && (want == nil || want(e)) {
			found = append(found, e)
		}
	}
	return found
}
