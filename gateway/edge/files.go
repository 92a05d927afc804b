package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Pair are the paths of a certificate chain and its key, both PEM.
type Pair struct{ Certificate, Key string }

// Files is a source that reads its certificates from files.
type Files struct {
	certificates
	pairs []Pair
	log   *slog.Logger
	mu    sync.Mutex // one reload at a time
}

// OpenFiles reads every pair, and fails when one cannot be used.
func OpenFiles(pairs []Pair, log *slog.Logger) (*Files, error) {
	if len(pairs) == 0 {
		return nil, errors.New("edge: no certificate files")
	}
	f := &Files{pairs: pairs, log: log}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload reads every pair again. When one cannot be used (a file is missing or
// broken, or key and certificate do not match) nothing changes.
func (f *Files) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*tls.Certificate, 0, len(f.pairs))
	for _, pair := range f.pairs {
		certificate, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			return fmt.Errorf("edge: loading the certificate %s with the key %s: %w", pair.Certificate, pair.Key, err)
		}
		if len(certificate.Leaf.DNSNames) == 0 {
			return fmt.Errorf("edge: the certificate %s names no host (subject alternative names)", pair.Certificate)
		}
		all = append(all, &certificate)
	}
	same := func(a, b *tls.Certificate) bool { return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal) }
	if before := f.all(); len(before) > 0 && !slices.EqualFunc(before, all, same) {
		f.log.Info("new certificates are in force", "names", all[0].Leaf.DNSNames, "not_after", all[0].Leaf.NotAfter)
	}
	f.replace(all)
	return nil
}

// settle is how long files must be left alone before they are read: a
// certificate and its key are seldom written at once.
const settle = 200 * time.Millisecond

// again is when the files are read even so: a watch does not outlive its folder.
const again = time.Hour

// Run watches the files' folders until ctx ends, and reloads when something
// changes there. What does not load is logged, and the old stays in force.
func (f *Files) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("edge: watching the certificates: %w", err)
	}
	defer func() {
		if err := watcher.Close(); err != nil {
			f.log.Warn("closing the watch of the certificates", "error", err)
		}
	}()
	for _, pair := range f.pairs {
		for _, path := range []string{pair.Certificate, pair.Key} {
			if err := watcher.Add(filepath.Dir(path)); err != nil {
				return fmt.Errorf("edge: watching %s: %w", filepath.Dir(path), err)
			}
		}
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-watcher.Events:
			if !open {
				return nil
			}
			timer.Reset(settle)
		case err, open := <-watcher.Errors:
			if !open {
				return nil
			}
			f.log.Warn("watching the certificates", "error", err)
		case <-timer.C:
			if err := f.Reload(); err != nil {
				f.log.Error("the certificates were not reloaded; the old ones stay", "error", err)
			}
			timer.Reset(again)
		}
	}
}
