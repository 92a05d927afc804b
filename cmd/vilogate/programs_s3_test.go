package main_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

const s3Secret = "a secret key of S3"

// objects is a server of S3, as far as it has objects and checks signatures (AWS Signature Version 4) over what it receives.
type objects struct {
	t *testing.T

	mu    sync.Mutex
	all   map[string][]byte         // guarded by mu, by path
	parts map[string]map[int][]byte // likewise
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		o.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	if reason := wrongSignature(r, body); reason != "" {
		o.t.Errorf("%s %s: %s", r.Method, r.RequestURI, reason)
		http.Error(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>"+reason+"</Message></Error>", http.StatusForbidden)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	query, key := r.URL.Query(), r.URL.Path
	part := 0
	_, _ = fmt.Sscan(query.Get("partNumber"), &part) // 0 where there is none
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		o.parts[key] = map[int][]byte{}
		fmt.Fprintf(w, `<?xml version="1.0"?><InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPost:
		o.all[key] = nil
		for i := 1; i <= len(o.parts[key]); i++ {
			o.all[key] = append(o.all[key], o.parts[key][i]...)
		}
		fmt.Fprintf(w, `<?xml version="1.0"?><CompleteMultipartUploadResult><Location>x</Location><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
	case r.Method == http.MethodPut:
		if part > 0 {
			o.parts[key][part] = body
		} else {
			o.all[key] = body
		}
		w.Header().Set("ETag", fmt.Sprintf("%q", hex.EncodeToString(sumMD5(body))))
	case r.Method == http.MethodDelete:
		delete(o.all, key)
		w.WriteHeader(http.StatusNoContent)
	case query.Has("location"):
		fmt.Fprint(w, `<?xml version="1.0"?><LocationConstraint>eu-west-1</LocationConstraint>`)
	case key == "/bucket/":
		fmt.Fprint(w, `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>`)
		for name, content := range o.all {
			fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>%d</Size><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>"x"</ETag></Contents>`,
				strings.NewReplacer("&", "&amp;").Replace(strings.TrimPrefix(name, "/bucket/")), len(content))
		}
		fmt.Fprint(w, `</ListBucketResult>`)
	default:
		content, ok := o.all[key]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf("%q", hex.EncodeToString(sumMD5(content))))
		w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(content) // the client sees it
		}
	}
}

func sumMD5(b []byte) []byte { s := md5.Sum(b); return s[:] }

// wrongSignature is what is wrong with the signature of a request as it was received; "" for nothing.
func wrongSignature(r *http.Request, body []byte) string {
	fields := map[string]string{}
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	scope := strings.SplitN(fields["Credential"], "/", 2)
	if !ok || len(scope) < 2 {
		return "no signature"
	}
	sum := sha256.Sum256(body)
	if sent := r.Header.Get("X-Amz-Content-Sha256"); sent != hex.EncodeToString(sum[:]) && sent != "UNSIGNED-PAYLOAD" {
		return "another body"
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	pairs := []string{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" && !strings.Contains(pair, "=") {
			pair += "="
		}
		pairs = append(pairs, pair)
	}
	slices.Sort(pairs)
	var signed strings.Builder
	fmt.Fprintf(&signed, "%s\n%s\n%s\n", r.Method, path, strings.Join(pairs, "&"))
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		fmt.Fprintf(&signed, "%s:%s\n", name, strings.TrimSpace(value))
	}
	fmt.Fprintf(&signed, "\n%s\n%s", fields["SignedHeaders"], r.Header.Get("X-Amz-Content-Sha256"))
	digest := sha256.Sum256([]byte(signed.String()))
	key := []byte("AWS4" + s3Secret)
	for piece := range strings.SplitSeq(scope[1], "/") {
		key = hmacSHA256(key, piece)
	}
	want := hmacSHA256(key, "AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope[1]+"\n"+hex.EncodeToString(digest[:]))
	if hex.EncodeToString(want) != fields["Signature"] {
		return fmt.Sprintf("the signature is not of\n%s", signed.String())
	}
	return ""
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// TestS3: what a client has signed (the method, the path, the query, Host and other fields) arrives as it was signed, with keys that have to
// be escaped, and the body with it.
func TestS3(t *testing.T) {
	t.Parallel()
	o := &objects{t: t, all: map[string][]byte{}, parts: map[string]map[int][]byte{}}
	p := newPrograms(t, o, `  - { path: "/*rest", allow: public, semicolon: allow, double_slash: allow, encoded_hash: allow, encoded_backslash: allow, double_encoding: allow }`)
	host, port, _ := strings.Cut(p.proxy, ":")
	p.write("s3cfg", []byte(strings.Join([]string{
		"[default]", "access_key = carol", "secret_key = " + s3Secret, "host_base = app.viloforge.test", "host_bucket = app.viloforge.test", "bucket_location = eu-west-1",
		"use_https = True", "ca_certs_file = " + p.at.CA, "proxy_host = " + host, "proxy_port = " + port, "multipart_chunk_size_mb = 5", "",
	}, "\n")))
	s3 := func(arguments ...string) string {
		return p.must("", "s3cmd", "s3cmd", append([]string{"-c", "s3cfg", "--no-progress"}, arguments...)...)
	}
	small, large := varied(1000), varied(12<<20)
	p.write("small", small)
	p.write("large", large)
	for _, key := range []string{"a b/c+d&e=f (1)~'!*,;:@$.txt", "é 100%25#", `a\b%2Fc`, "a//b?c=d"} {
		s3("put", "small", "s3://bucket/"+key)
		s3("get", "--force", "s3://bucket/"+key, "back")
		p.holds("back", small)
		o.mu.Lock()
		if !bytes.Equal(o.all["/bucket/"+key], small) {
			t.Errorf("%q is stored elsewhere: %q", key, url.PathEscape(fmt.Sprint(len(o.all))))
		}
		o.mu.Unlock()
	}
	s3("put", "large", "s3://bucket/large")
	s3("get", "--force", "s3://bucket/large", "back")
	p.holds("back", large)
	if out := s3("ls", "--recursive", "s3://bucket/"); !strings.Contains(out, "s3://bucket/a//b?c=d") || !strings.Contains(out, "12582912") {
		t.Errorf("listed: %s", out)
	}
	s3("del", "s3://bucket/large")
	if out, err := p.run("", "s3cmd", "s3cmd", "-c", "s3cfg", "info", "s3://bucket/large"); err == nil {
		t.Errorf("it is still there: %s", out)
	}
}
