package revocation

import (
	"fmt"
	"sync"
	"testing"
)

func sessionFact(i int, expires int64) fact {
	return fact{name: name{kind: Session, issuer: ours, id: fmt.Sprint(i)}, expires: expires}
}

// TestTableIsAMap: through growing, merging and purging it answers as a map would.
func TestTableIsAMap(t *testing.T) {
	t.Parallel()
	table, model := newTable(), map[name]fact{}
	state := uint64(1)
	next := func(n int) int { // a fixed sequence
		state = state*6364136223846793005 + 1442695040888963407
		return int(state>>33) % n
	}
	names := make([]name, 3000)
	for i := range names {
		names[i] = name{kind: Kind(i%3 + 1), issuer: fmt.Sprint("issuer-", i/3%2), id: fmt.Sprint(i / 6)}
	}
	now := int64(0)
	for step := range 50_000 {
		f := fact{name: names[next(len(names))], expires: now + int64(next(5000))}
		if f.kind == Subject {
			f.cutoff = int64(next(1000))
		}
		table.add(f)
		if known, ok := model[f.name]; ok {
			f = f.merge(known)
		}
		model[f.name] = f
		if step%500 == 0 {
			now += 250
			table.purge(now)
			for n, f := range model {
				if f.expires <= now {
					delete(model, n)
				}
			}
		}
		if table.len() != len(model) {
			t.Fatalf("step %d: %d facts, want %d", step, table.len(), len(model))
		}
	}
	for _, n := range names {
		got, want := table.find(n.kind, n.issuer, n.id), model[n]
		if (got == nil) != (want == fact{}) || got != nil && *got != want {
			t.Errorf("%v: %v, want %v", n, got, want)
		}
	}
	table.each(func(f fact) {
		if model[f.name] != f {
			t.Errorf("%v is in the table, %v in the model", f, model[f.name])
		}
		delete(model, f.name)
	})
	if len(model) != 0 {
		t.Errorf("%d facts are missing", len(model))
	}
}

// TestReadersMissNothingWhileOthersWrite: what was added is found from then on, while the table grows and is purged.
func TestReadersMissNothingWhileOthersWrite(t *testing.T) {
	t.Parallel()
	const lasting, passing = 2000, 20_000
	table := newTable()
	var others, readers sync.WaitGroup
	done := make(chan struct{})
	added := make(chan int, lasting)
	others.Go(func() {
		defer close(added)
		for i := range lasting {
			table.add(sessionFact(i, maxTime))
			added <- i
		}
	})
	others.Go(func() {
		for i := range passing {
			table.add(sessionFact(lasting+i, 1))
			if i%500 == 0 {
				table.purge(2)
			}
		}
		table.purge(2)
	})
	for range 4 {
		readers.Go(func() {
			for i := range added {
				for _, k := range []int{i, 0, i / 2} {
					if table.find(Session, ours, fmt.Sprint(k)) == nil {
						t.Errorf("%d is missing while others write", k)
					}
				}
			}
			<-done
			for i := range lasting {
				if table.find(Session, ours, fmt.Sprint(i)) == nil {
					t.Errorf("%d is missing at the end", i)
				}
			}
		})
	}
	others.Wait()
	close(done)
	readers.Wait()
	if n := table.len(); n != lasting {
		t.Errorf("%d facts, want %d", n, lasting)
	}
}
