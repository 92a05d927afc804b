package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// noGroup is the group of nobody, for an owner whom the machine does not know.
const noGroup = 65534

// BecomeOwner has the whole process act as the user that the folder dir belongs to, from now on and for good, where it is
// root's and the folder another user's. Whatever is read, made or asked there is then what that user could read, make or
// ask by itself: a link in the folder, or a path that it holds, leads root nowhere. In every other case it does nothing, and
// [Open] says what is wrong.
func BecomeOwner(dir string) error {
	info, err := os.Stat(dir)
	if os.Geteuid() != 0 || err != nil || !info.IsDir() || ownerOf(info) == 0 {
		return nil
	}
	uid := ownerOf(info)
	group, groups := noGroup, []int{}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		ids, _ := u.GroupIds() // without them, only its own group counts
		for _, id := range append([]string{u.Gid}, ids...) {
			if n, err := strconv.Atoi(id); err == nil {
				groups = append(groups, n)
			}
		}
		if len(groups) > 0 {
			group = groups[0]
		}
	}
	err = syscall.Setgroups(groups)
	if err == nil {
		err = syscall.Setresgid(group, group, group)
	}
	if err == nil {
		err = syscall.Setresuid(uid, uid, uid)
	}
	if err != nil {
		return fmt.Errorf("state %s belongs to %s, and this process may not act as that user (%w); run it as that user", dir, userName(uid), err)
	}
	return nil
}

// CheckFound makes sure that a folder which is used because it is there, and not because somebody named it, was made by the
// user of this process: a link to it, too.
func CheckFound(dir string) error {
	for _, look := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
		info, err := look(dir)
		if err != nil {
			return fmt.Errorf("state %s: %w", dir, pathErrorCause(err))
		}
		if owner := ownerOf(info); owner != os.Geteuid() {
			return fmt.Errorf("state %s belongs to %s, and this is %s: what another user made is used only where it is named; if it is meant: --state %s",
				dir, userName(owner), userName(os.Geteuid()), dir)
		}
		if info.Mode().Type() != fs.ModeSymlink && info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("state %s has the mode %04o, so that others than %s can put anything there: chmod 0700 %s",
				dir, info.Mode().Perm(), userName(os.Geteuid()), dir)
		}
	}
	return nil
}

// ReadFile reads a file of a folder that is not taken. It is one of whoever the folder belongs to, which is this process's
// user or, where this is root, another; links are not followed.
func ReadFile(dir, name string) (data []byte, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	switch owner := ownerOf(info); {
	case owner != os.Geteuid() && os.Geteuid() != 0:
		return nil, fmt.Errorf("state %s belongs to %s, and this is %s; it is for its owner and for root", dir, userName(owner), userName(os.Geteuid()))
	case info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("state %s has the mode %04o, so that others than %s can put anything there: chmod 0700 %s",
			dir, info.Mode().Perm(), userName(owner), dir)
	}
	f, err := openFile(filepath.Join(dir, name), os.O_RDONLY, ownerOf(info))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(f)
}

// openFile opens a regular file that belongs to owner. A link is not followed, and nothing is waited for.
func openFile(path string, flag, owner int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		info, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		return nil, checkFile(path, info, owner)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkFile(path, info, owner)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file, which it must be", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkFile refuses a symbolic link, and what belongs to somebody else than the folder.
func checkFile(path string, info fs.FileInfo, owner int) error {
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return fmt.Errorf("%s is a symbolic link, made by %s, and is not followed: in the state folder its place is for the file itself", path, userName(ownerOf(info)))
	case ownerOf(info) != owner:
		return fmt.Errorf("%s belongs to %s, and its folder to %s: chown %d %s", path, userName(ownerOf(info)), userName(owner), owner, path)
	}
	return nil
}

// foreignError says that a folder, or the link to it, is another user's.
func foreignError(dir string, owner int) error {
	return fmt.Errorf("state %s belongs to %s, and this is %s: run it as that user, or name a folder of your own", dir, userName(owner), userName(os.Geteuid()))
}

// ownerOf is the user that a file belongs to.
func ownerOf(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// userName is a user for people.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("%s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("uid %d", uid)
}

// pathErrorCause is an error of the file system without its path, which the caller's message already names.
func pathErrorCause(err error) error {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		return cause.Err
	}
	return err
}
