package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/gateway/edge"
)

// trustFlags say where to trust the local CA.
type trustFlags struct {
	State  string `placeholder:"DIR" help:"The state folder of the CA; default: .vilogate."`
	System bool   `help:"Only the system's store, which curl and most programs use."`
	NSS    bool   `help:"Only the store of Chromium and Firefox."`
}

type certTrustCommand struct {
	trustFlags `embed:""`
}

type certUntrustCommand struct {
	trustFlags `embed:""`
}

// Run has the stores trust the CA.
func (c *certTrustCommand) Run(w *commandEnv) error {
	return c.forEachStore(w, func(s trustStore, ca localCA) (string, error) { return s.add(ca) })
}

// Run removes the CA from the stores.
func (c *certUntrustCommand) Run(w *commandEnv) error {
	return c.forEachStore(w, func(s trustStore, ca localCA) (string, error) { return s.remove(ca) })
}

// A trustStore is where programs look up whom to trust. Both methods say what was done, and are no error where nothing had
// to be.
type trustStore interface {
	add(ca localCA) (string, error)
	remove(ca localCA) (string, error)
}

// localCA is the CA of a state folder.
type localCA struct {
	path string
	name string // for people; of this very key
	file string // name of a file for it
	pem  []byte
}

// forEachStore calls do for each selected store. One that cannot be changed does not keep the others
// from being changed.
func (f trustFlags) forEachStore(w *commandEnv, do func(trustStore, localCA) (string, error)) error {
	ca, err := readLocalCA(f.State)
	if err != nil {
		return err
	}
	var stores []trustStore
	if f.NSS || !f.System {
		stores = append(stores, findNSS(w.getenv("HOME")))
	}
	if f.System || !f.NSS {
		stores = append(stores, findSystemStore(os.Geteuid() == 0))
	}
	var errs []error
	for _, s := range stores {
		message, err := do(s, ca)
		if message != "" {
			if _, err := fmt.Fprintln(w.stdout, message); err != nil {
				return err
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// readLocalCA reads the CA of a state folder.
func readLocalCA(dir string) (localCA, error) {
	found := dir == ""
	if found {
		dir = devState
	}
	ca := localCA{path: filepath.Join(dir, "ca.pem")}
	var err error
	if found {
		err = state.CheckFound(dir)
	}
	if err == nil {
		ca.pem, err = state.ReadFile(dir, "ca.pem")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return ca, fmt.Errorf("there is no local CA in %s; `vilogate dev` or `vilogate cert dev` makes one", dir)
	}
	if err != nil {
		return ca, err
	}
	block, rest := pem.Decode(ca.pem)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return ca, fmt.Errorf("%s is not one certificate", ca.path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ca, fmt.Errorf("%s: %w", ca.path, err)
	}
	if err := edge.CheckLocalCA(certificate); err != nil {
		return ca, fmt.Errorf("%s is not to be trusted: %w", ca.path, err)
	}
	ca.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})
	key := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	ca.name = fmt.Sprintf("vilogate local CA for %s (%x)", certificate.PermittedDNSDomains[0], key[:4])
	ca.file = fmt.Sprintf("vilogate-%s-%x.crt", certificate.PermittedDNSDomains[0], key[:4])
	return ca, nil
}

// nss are the databases of Chromium and of each profile of Firefox.
type nss struct {
	home string
	dirs []string
}

func findNSS(home string) nss {
	dirs := []string{filepath.Join(home, ".pki", "nssdb")}
	for _, pattern := range []string{".mozilla/firefox/*/cert9.db", "snap/firefox/common/.mozilla/firefox/*/cert9.db"} {
		found, err := filepath.Glob(filepath.Join(home, pattern))
		if err != nil {
			continue // a home with brackets in its name
		}
		for _, path := range found {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return nss{home, dirs}
}

func (n nss) add(ca localCA) (string, error) {
	if n.home == "" {
		return "", errors.New("browsers: HOME is not set, so that their store cannot be found")
	}
	if _, err := os.Stat(filepath.Join(n.dirs[0], "cert9.db")); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(n.dirs[0], 0o700); err != nil {
			return "", err
		}
		if err := certutil(nil, "-N", "-d", "sql:"+n.dirs[0], "--empty-password"); err != nil {
			return "", err
		}
	}
	for _, dir := range n.dirs {
		if err := certutil(ca.pem, "-A", "-a", "-d", "sql:"+dir, "-t", "C,,", "-n", ca.name); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("browsers: %s is trusted by %s; restart those that run", ca.name, strings.Join(n.dirs, ", ")), nil
}

func (n nss) remove(ca localCA) (string, error) {
	var from []string
	for _, dir := range n.dirs {
		if _, err := os.Stat(filepath.Join(dir, "cert9.db")); err != nil {
			continue
		}
		if certutil(nil, "-L", "-d", "sql:"+dir, "-n", ca.name) != nil {
			continue // it is not there
		}
		if err := certutil(nil, "-D", "-d", "sql:"+dir, "-n", ca.name); err != nil {
			return "", err
		}
		from = append(from, dir)
	}
	if len(from) == 0 {
		return "browsers: it was not trusted", nil
	}
	return fmt.Sprintf("browsers: %s is no longer trusted by %s", ca.name, strings.Join(from, ", ")), nil
}

// certutil runs NSS's tool on what it is to read.
func certutil(stdin []byte, args ...string) error {
	path, err := exec.LookPath("certutil")
	if err != nil {
		return errors.New("browsers: certutil is missing; apt-get install libnss3-tools")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("browsers: certutil %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

// system is the store of a distribution: a folder of certificates, and the command that takes them over.
type system struct {
	root   bool // whether this process may change it
	dir    string
	update []string
}

// findSystemStore is the store of this machine; one without a folder where it is not known.
func findSystemStore(root bool) system {
	for _, s := range []system{
		{root, "/usr/local/share/ca-certificates", []string{"update-ca-certificates"}}, // Debian, Ubuntu, Alpine
		{root, "/etc/pki/ca-trust/source/anchors", []string{"update-ca-trust"}},        // Fedora, RHEL
		{root, "/etc/ca-certificates/trust-source/anchors", []string{"trust", "extract-compat"}},
	} {
		if info, err := os.Stat(s.dir); err == nil && info.IsDir() {
			return s
		}
	}
	return system{}
}

func (s system) add(ca localCA) (string, error) {
	at := filepath.Join(s.dir, ca.file)
	switch {
	case s.dir == "":
		return fmt.Sprintf("system: its store is not known here; add %s by hand", ca.path), nil
	case !s.root:
		return fmt.Sprintf("system: not changed, because that takes root:\n  sudo cp %s %s && sudo %s", ca.path, at, strings.Join(s.update, " ")), nil
	}
	if err := os.WriteFile(at, ca.pem, 0o644); err != nil {
		return "", fmt.Errorf("system: %w", err)
	}
	if err := s.run(); err != nil {
		return "", err
	}
	return fmt.Sprintf("system: %s is trusted (%s)", ca.name, at), nil
}

func (s system) remove(ca localCA) (string, error) {
	at := filepath.Join(s.dir, ca.file)
	if _, err := os.Stat(at); s.dir == "" || errors.Is(err, fs.ErrNotExist) {
		return "system: it was not trusted", nil
	}
	if !s.root {
		return fmt.Sprintf("system: not changed, because that takes root:\n  sudo rm %s && sudo %s", at, strings.Join(s.update, " ")), nil
	}
	if err := os.Remove(at); err != nil {
		return "", fmt.Errorf("system: %w", err)
	}
	if err := s.run(); err != nil {
		return "", err
	}
	return fmt.Sprintf("system: %s is no longer trusted", ca.name), nil
}

func (s system) run() error {
	if out, err := exec.Command(s.update[0], s.update[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("system: %s: %w: %s", s.update[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
