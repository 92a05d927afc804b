package main_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// redisServer starts a real redis-server that keeps nothing on disk.
func redisServer(tb testing.TB, address string) *process {
	tb.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		tb.Fatal(err)
	}
	p := launch(tb, tb.TempDir(), os.Environ(), program(tb, "redis-server", "redis-server"),
		"--bind", host, "--port", port, "--save", "", "--appendonly", "no")
	eventually(tb, "redis-server answers", func() bool {
		reply, err := redisDo(address, "PING")
		return err == nil && reply == "+PONG"
	})
	return p
}

// redisDo sends one inline command to Redis and returns the first line of its answer.
func redisDo(address, command string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, waitTimeout)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(waitTimeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// redisAll sends one inline command to Redis and returns all of its answer.
func redisAll(address, command string) (all string, err error) {
	conn, err := net.DialTimeout("tcp", address, waitTimeout)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := io.WriteString(conn, command+"\r\nQUIT\r\n"); err != nil {
		return "", err
	}
	data, err := io.ReadAll(conn)
	return string(data), err
}
