package main_test

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// grpcTool is a program of grpc-go's interoperability tests, which deploy/tools pins: what it drags in, which is much, is no part of
// this module.
func grpcTool(t *testing.T, name string) string {
	t.Helper()
	modfile := filepath.Join("..", "..", "deploy", "tools", "go.mod")
	path, err := exec.CommandContext(t.Context(), "go", "tool", "-modfile="+modfile, "-n", "google.golang.org/grpc/interop/"+name).Output()
	if err != nil {
		t.Fatalf("building grpc/interop/%s from deploy/tools: %v", name, err)
	}
	return strings.TrimSpace(string(path))
}

// grpcServer starts grpc-go's test server, and returns where it listens.
func grpcServer(t *testing.T, flags ...string) (address string, server *process) {
	t.Helper()
	address = freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	server = launch(t, t.TempDir(), nil, grpcTool(t, "server"), append([]string{"--port", port}, flags...)...)
	eventually(t, "grpc's test server listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		closeQuietly(t, conn)
		return true
	})
	return address, server
}

// grpcClient is grpc-go's test client, which asks a site.
type grpcClient struct {
	*site
	path string
}

// run runs a case of the client, and returns the end of what it said; err is nil where it passed.
func (s grpcClient) run(t *testing.T, host, name, token string) (said string, err error) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.at.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, "--server_host", "127.0.0.1", "--server_port", port, "--use_tls", "--use_test_ca", "--ca_file", s.at.CA,
		"--server_host_override", host, "--test_case", name)
	if token != "" {
		cmd.Args = append(cmd.Args, "--additional_metadata", "authorization:Bearer "+token)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return string(out.Bytes()[max(0, out.Len()-2000):]), err
}

// grpcSecret is that of an issuer whose tokens the calls carry.
const grpcSecret = "a secret of another issuer, of 32 bytes"

const grpcIssuer = `
tokens: { issuers: [ { name: legacy, secret: "` + grpcSecret + `", algorithm: HS256, cookie: jwt, claims: { user: username, roles: roles } } ] }
`

// grpcToken is a token of a user.
func grpcToken(user string, roles ...string) string {
	c := claims{"username": user, "roles": roles, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	return hs(crypto.SHA256, []byte(grpcSecret), `{"alg":"HS256","typ":"JWT"}`, c.json())
}

// grpcPolicy is a host of calls.
func grpcPolicy(name string) string {
	return fmt.Sprintf(`
host: %s.viloforge.test
upstream: %s
routes:
  - { path: "/grpc.testing.TestService/UnaryCall", allow: { roles: [member] } }
  - { path: "/grpc.testing.TestService/:method", allow: authenticated }
  - { path: "/*rest", allow: authenticated }
`, name, name)
}

// grpcCases are those of grpc-go's client that need no cloud, and no server but its own.
var grpcCases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
	"cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
	"unimplemented_method", "unimplemented_service", "rpc_soak", "channel_soak",
}

// TestGRPCInterop: grpc-go's client passes its cases against its server through the gateway, over h2c and over TLS behind it.
func TestGRPCInterop(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	certificate, key := a.certify("backend.test", time.Now().Add(time.Hour))
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"own.pem": certificate, "own.key": key})
	plain, _ := grpcServer(t)
	secured, _ := grpcServer(t, "--use_tls", "--tls_cert_file", filepath.Join(dir, "own.pem"), "--tls_key_file", filepath.Join(dir, "own.key"))
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + grpcIssuer + fmt.Sprintf("upstreams:\n  plain: { url: %q }\n  secured: { url: %q, tls: { roots: ca.pem, name: backend.test } }\n",
			"h2c://"+plain, "h2://"+secured),
		"ca.pem": a.pem, "policies/plain.yaml": grpcPolicy("plain"), "policies/secured.yaml": grpcPolicy("secured"),
	})
	client, token := grpcClient{s, grpcTool(t, "client")}, grpcToken("alice", "member")
	for _, name := range grpcCases {
		for _, host := range []string{"plain.viloforge.test", "secured.viloforge.test"} {
			if said, err := client.run(t, host, name, token); err != nil {
				t.Errorf("%s, %s: %v\n%s", host, name, err, said)
			}
		}
	}
}
