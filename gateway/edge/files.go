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
	"time"

	"github.com/fsnotify/fsnotify"
)

// KeyPair are the paths of a certificate chain and its private key, both PEM.
type KeyPair struct{ Certificate, Key string }

// Files is a source whose certificates were read from files. It never changes:
// whoever watches the files opens them again (see [WatchFiles]).
type Files struct{ certificates }

// OpenFiles reads every pair, and fails when one cannot be used: a file is
// missing or broken, or key and certificate do not match.
func OpenFiles(pairs []KeyPair) (*Files, error) {
	if len(pairs) == 0 {
		return nil, errors.New("edge: no certificate files")
	}
	all := make([]*tls.Certificate, 0, len(pairs))
	for _, pair := range pairs {
		certificate, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			return nil, fmt.Errorf("edge: loading the certificate %s with the key %s: %w", pair.Certificate, pair.Key, err)
		}
		if len(certificate.Leaf.DNSNames) == 0 {
			return nil, fmt.Errorf("edge: the certificate %s names no host (subject alternative names)", pair.Certificate)
		}
		all = append(all, &certificate)
	}
	f := &Files{}
	f.replace(all)
	return f, nil
}

// Same reports whether other has the same certificates.
func (f *Files) Same(other *Files) bool {
	return slices.EqualFunc(f.all(), other.all(), func(a, b *tls.Certificate) bool {
		return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
	})
}

// debounce is how long files must not change before they are read: a certificate
// and its key are seldom written at once.
const debounce = 200 * time.Millisecond

// rescanInterval is when the files are read without an event: a watch does not
// outlive its directory.
const rescanInterval = time.Hour

// WatchFiles watches the files' folders until ctx ends, and calls changed when
// something changed there, once as it begins, and now and then all the same.
func WatchFiles(ctx context.Context, pairs []KeyPair, log *slog.Logger, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("edge: watching the certificates: %w", err)
	}
	defer func() {
		if err := watcher.Close(); err != nil {
			log.Warn("closing the certificate watcher", "error", err)
		}
	}()
	for _, pair := range pairs {
		for _, path := range []string{pair.Certificate, pair.Key} {
			if err := watcher.Add(filepath.Dir(path)); err != nil {
				return fmt.Errorf("edge: watching %s: %w", filepath.Dir(path), err)
			}
		}
	}
	timer := time.NewTimer(debounce)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-watcher.Events:
			if !open {
				return nil
			}
			timer.Reset(debounce)
		case err, open := <-watcher.Errors:
			if !open {
				return nil
			}
			log.Warn("watching the certificates", "error", err)
		case <-timer.C:
			changed()
			timer.Reset(rescanInterval)
		}
	}
}
