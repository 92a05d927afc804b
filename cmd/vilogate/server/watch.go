package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// debounce is how long the files must be unchanged before they are read: an editor writes more than once.
const debounce = 100 * time.Millisecond

// watch calls changed after the file or anything below the folders has changed, until ctx ends. It watches folders and
// not files, which editors replace.
func watch(ctx context.Context, file, folder string, changed func()) (err error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching for changes: %w", err)
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	if err := watcher.Add(filepath.Dir(file)); err != nil {
		return fmt.Errorf("watching %s: %w", filepath.Dir(file), err)
	}
	if err := watchBelow(watcher, folder); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	<-timer.C
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-watcher.Events:
			inFolder := strings.HasPrefix(event.Name, folder+string(filepath.Separator)) || event.Name == folder
			if event.Name != file && !inFolder || event.Op == fsnotify.Chmod || strings.HasPrefix(filepath.Base(event.Name), ".") {
				continue
			}
			if inFolder && event.Has(fsnotify.Create) {
				if err := watchBelow(watcher, folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			timer.Reset(debounce)
		case err := <-watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watching for changes: %w", err)
			}
			timer.Reset(debounce)
		case <-timer.C:
			changed()
		}
	}
}

// watchBelow adds a folder and those below it; one that is watched already stays so.
func watchBelow(watcher *fsnotify.Watcher, folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		}
		return watcher.Add(path)
	})
}
