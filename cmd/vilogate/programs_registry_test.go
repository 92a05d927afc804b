package main_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// dockerRegistry starts a registry of images, with more of its configuration, and returns its URL.
func dockerRegistry(t *testing.T, more string) string {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	writeFiles(t, dir, map[string]string{
		"config.yml": fmt.Sprintf("version: 0.1\nstorage: { filesystem: { rootdirectory: %q }, delete: { enabled: true } }\nhttp: { addr: %q }\n", filepath.Join(dir, "images"), address) + more,
	})
	p := launch(t, dir, []string{"PATH=/usr/bin:/bin"}, program(t, "docker-registry", "docker-registry"), "serve", filepath.Join(dir, "config.yml"))
	eventually(t, "the registry listens", func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil || !p.running()
	})
	return "http://" + address
}

// descriptor names content, as OCI's images do.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// writeImage writes an image of one layer as an OCI layout, and returns the digest of its manifest.
func (p *programs) writeImage(name string, layer []byte) (digest string) {
	p.t.Helper()
	if err := os.MkdirAll(p.file(name+"/blobs/sha256"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	add := func(mediaType string, content []byte) descriptor {
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		p.write(name+"/blobs/sha256/"+sum, content)
		return descriptor{"application/vnd.oci.image." + mediaType, "sha256:" + sum, len(content)}
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			p.t.Fatal(err)
		}
		return b
	}
	type object map[string]any
	plain, compressed := tarOf(p.t, layer)
	config := add("config.v1+json", encode(object{
		"architecture": "amd64", "os": "linux", "config": object{}, "rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(plain))}},
	}))
	manifest := add("manifest.v1+json", encode(object{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
		"layers": []descriptor{add("layer.v1.tar+gzip", compressed)},
	}))
	p.write(name+"/index.json", encode(object{"schemaVersion": 2, "manifests": []descriptor{manifest}}))
	p.write(name+"/oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return manifest.Digest
}

// tarOf is an archive of one file, plain and compressed.
func tarOf(t *testing.T, content []byte) (plain, compressed []byte) {
	t.Helper()
	var archive, packed bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(archive.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes(), packed.Bytes()
}

// skopeo runs a client of registries, which verifies what it receives by its digest.
func (p *programs) skopeo(arguments ...string) (string, error) {
	p.t.Helper()
	return p.run("", "skopeo", "skopeo", append([]string{"--insecure-policy"}, arguments...)...)
}

// TestRegistryByToken: who has a token pushes an image with a large layer, lists, pulls and deletes it; nobody else does.
func TestRegistryByToken(t *testing.T) {
	t.Parallel()
	p := newProgramsOf(t, dockerRegistry(t, ""), `  - { path: "/v2/*rest", allow: authenticated, bearer: only }`)
	const image = "docker://app.viloforge.test/team/image:1"
	if said := p.must("", "curl", "curl", "-sSI", "https://app.viloforge.test/v2/"); !strings.Contains(said, `Bearer realm="https://app.viloforge.test"`) {
		t.Errorf("a realm that clients do not take for a URL: %s", said)
	}
	digest := p.writeImage("image", varied(24<<20))
	for _, credentials := range [][]string{nil, {"--dest-creds", "carol:password"}, {"--dest-registry-token", "another"}} {
		if said, err := p.skopeo(append(append([]string{"copy"}, credentials...), "oci:image", image)...); err == nil {
			t.Errorf("pushed with %q: %s", credentials, said)
		}
	}
	if said, err := p.skopeo("copy", "--preserve-digests", "--dest-registry-token", p.token, "oci:image", image); err != nil {
		t.Fatalf("the push: %v\n%s", err, said)
	}
	if said, err := p.skopeo("list-tags", "--registry-token", p.token, "docker://app.viloforge.test/team/image"); err != nil || !strings.Contains(said, `"1"`) {
		t.Errorf("the tags: %v\n%s", err, said)
	}
	if said, err := p.skopeo("inspect", "--format", "{{.Digest}}", "--registry-token", p.token, image); err != nil || strings.TrimSpace(said) != digest {
		t.Errorf("the digest: %v, %s, want %s", err, said, digest)
	}
	if said, err := p.skopeo("copy", image, "oci:stolen"); err == nil {
		t.Errorf("pulled without a token: %s", said)
	}
	if said, err := p.skopeo("copy", "--src-registry-token", p.token, image, "oci:back"); err != nil {
		t.Fatalf("the pull: %v\n%s", err, said)
	}
	p.sameImage("image", "back")
	if said, err := p.skopeo("delete", "--registry-token", p.token, image); err != nil {
		t.Errorf("deleting: %v\n%s", err, said)
	}
	if said, err := p.skopeo("inspect", "--registry-token", p.token, image); err == nil || !strings.Contains(said, "manifest unknown") {
		t.Errorf("it is still there: %v\n%s", err, said)
	}
}

// TestRegistryByPassword: a registry that asks for passwords itself does so through a public route; skopeo logs in as docker does.
func TestRegistryByPassword(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("password"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	passwords := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(passwords, append([]byte("carol:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProgramsOf(t, dockerRegistry(t, fmt.Sprintf("auth: { htpasswd: { realm: images, path: %q } }\n", passwords)), `  - { path: "/v2/*rest", allow: public }`)
	const image = "docker://app.viloforge.test/team/image:1"
	p.writeImage("image", varied(1<<20))
	p.env = append(p.env, "REGISTRY_AUTH_FILE="+p.file("auth.json"))
	if said, err := p.skopeo("copy", "oci:image", image); err == nil {
		t.Errorf("pushed by nobody: %s", said)
	}
	if said, err := p.run("wrong", "skopeo", "skopeo", "login", "-u", "carol", "--password-stdin", "app.viloforge.test"); err == nil {
		t.Errorf("a wrong password: %s", said)
	}
	p.must("password", "skopeo", "skopeo", "login", "-u", "carol", "--password-stdin", "app.viloforge.test")
	for _, arguments := range [][]string{{"copy", "oci:image", image}, {"copy", image, "oci:back"}} {
		if said, err := p.skopeo(arguments...); err != nil {
			t.Fatalf("%q: %v\n%s", arguments, err, said)
		}
	}
	p.sameImage("image", "back")
}

// TestRegistryUploadsInPieces: what a registry says of an upload (where it goes on, and from which byte) is of the public address.
func TestRegistryUploadsInPieces(t *testing.T) {
	t.Parallel()
	p := newProgramsOf(t, dockerRegistry(t, ""), `  - { path: "/v2/*rest", allow: authenticated, bearer: only }`)
	const host = "https://app.viloforge.test"
	content := varied(5 << 20)
	location := host + "/v2/team/image/blobs/uploads/"
	ask := func(method, body string, header ...string) string {
		t.Helper()
		arguments := []string{"-sS", "-i", "-X", method, "-H", p.bearer(), "--data-binary", body}
		for _, line := range header {
			arguments = append(arguments, "-H", line)
		}
		said := p.must("", "curl", "curl", append(arguments, location)...)
		if _, rest, ok := strings.Cut(said, "\r\nlocation: "); ok {
			location, _, _ = strings.Cut(rest, "\r\n")
		}
		if !strings.HasPrefix(location, host+"/v2/team/image/blobs/") {
			t.Fatalf("%s goes on at %s", method, location)
		}
		return said
	}
	ask("POST", "")
	for at := 0; at < len(content); at += 2 << 20 {
		end := min(at+2<<20, len(content))
		p.write("piece", content[at:end])
		said := ask("PATCH", "@piece", "Content-Type: application/octet-stream", fmt.Sprintf("Content-Range: %d-%d", at, end-1))
		if !strings.Contains(said, "range: 0-"+strconv.Itoa(end-1)+"\r\n") {
			t.Fatalf("the piece at %d: %s", at, said)
		}
	}
	location += fmt.Sprintf("&digest=sha256:%x", sha256.Sum256(content))
	if said := ask("PUT", ""); !strings.Contains(said, " 201") {
		t.Fatalf("the end: %s", said)
	}
	p.must("", "curl", "curl", "-sS", "-H", p.bearer(), "-o", "back", location)
	p.holds("back", content)
	if got := p.must("", "curl", "curl", "-sS", "-H", p.bearer(), "-r", "1000000-1000999", location); got != string(content[1000000:1001000]) {
		t.Errorf("a range of it has %d bytes, or others", len(got))
	}
}

// sameImage fails unless two layouts hold the same image.
func (p *programs) sameImage(one, other string) {
	p.t.Helper()
	blobs, err := os.ReadDir(p.file(one + "/blobs/sha256"))
	if err != nil || len(blobs) != 3 {
		p.t.Fatalf("%s has %d blobs (%v)", one, len(blobs), err)
	}
	for _, blob := range blobs {
		content, err := os.ReadFile(p.file(one + "/blobs/sha256/" + blob.Name()))
		if err != nil {
			p.t.Fatal(err)
		}
		p.holds(other+"/blobs/sha256/"+blob.Name(), content)
	}
}
