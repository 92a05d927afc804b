// Command extauthz asks for a decision as Envoy does (ext_authz over gRPC), by grpc-go and go-control-plane, for the tests: it reads a
// CheckRequest in JSON and writes the CheckResponse in JSON.
//
//	extauthz HOST:PORT <request.json
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "extauthz:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("an address is needed, host:port")
	}
	text, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	request := &authv3.CheckRequest{}
	if err := protojson.Unmarshal(text, request); err != nil {
		return err
	}
	conn, err := grpc.NewClient(args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	response, err := authv3.NewAuthorizationClient(conn).Check(ctx, request)
	if err != nil {
		return err
	}
	text, err = protojson.Marshal(response)
	if err != nil {
		return err
	}
	_, err = stdout.Write(append(text, '\n'))
	return err
}
