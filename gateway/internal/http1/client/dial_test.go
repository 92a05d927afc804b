package client

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestOneOfTheAddressesOfAHost is enough, whichever it is, and whether the other refuses or is silent.
func TestOneOfTheAddressesOfAHost(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	live := listener.Addr().String()
	refuses, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := refuses.Addr().String()
	if err := refuses.Close(); err != nil {
		t.Fatal(err)
	}
	silent := silentAddress(t)
	var dialer net.Dialer
	for _, addresses := range [][]string{{live}, {live, refused}, {refused, live}, {silent, live}, {live, silent}} {
		conn, err := dialAny(t.Context(), &dialer, addresses)
		if err != nil || conn.RemoteAddr().String() != live {
			t.Errorf("%v: %v, %v", addresses, conn, err)
			continue
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := dialAny(t.Context(), &dialer, []string{refused, refused}); err == nil {
		t.Error("nobody listens")
	} else if op, ok := err.(*net.OpError); !ok || op.Op != "dial" {
		t.Errorf("%v is no error of dialling", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dialAny(ctx, &dialer, []string{silent, silent}); err == nil {
		t.Error("nobody answers")
	}
}

// silentAddress is one that answers no attempt to connect: its backlog is full.
func silentAddress(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	silent := 0 // in a row: one answer may just be late
	for range 16 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err == nil {
			silent = 0
			t.Cleanup(func() { _ = conn.Close() })
		} else if silent++; silent == 3 {
			return address
		}
	}
	t.Fatal("a backlog of 0 took 16 connections")
	return ""
}
