package revocation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// An explainer is a hook of the client that says in words what is wrong with a connection, and which key of the configuration
// mends it. Every room that uses the client has its errors so. No error that it passes on holds a password.
type explainer struct {
	master    string // the name that Sentinels are asked for; "" without them
	passwords []string
}

// An explanation is an error of Redis, or on the way to it, with what to do about it.
type explanation struct {
	advice string
	cause  error
}

func (e *explanation) Error() string { return e.advice + " (" + e.cause.Error() + ")" }

func (e *explanation) Unwrap() error { return e.cause }

// DialHook explains what connecting fails with. What Redis answers there comes from the Sentinels, who are asked for the
// master.
func (x explainer) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := next(ctx, network, address)
		if err != nil && x.master != "" {
			err = x.explain(err, x.sentinelAdvice(err))
		}
		return conn, err
	}
}

// ProcessHook explains what a command fails with.
func (x explainer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		return x.explain(err, advice(err))
	}
}

// ProcessPipelineHook explains what several commands fail with.
func (x explainer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		return x.explain(err, advice(err))
	}
}

// explain adds advice to an error that has none yet.
func (x explainer) explain(err error, advice string) error {
	var explained *explanation
	if err == nil || advice == "" || errors.As(err, &explained) {
		return x.withoutPasswords(err)
	}
	return &explanation{advice, x.withoutPasswords(err)}
}

// withoutPasswords is err, or one that says the same where its text quotes a password: a server that does not know a command
// quotes its arguments.
func (x explainer) withoutPasswords(err error) error {
	for _, password := range x.passwords {
		if err != nil && password != "" && strings.Contains(err.Error(), password) {
			err = &redacted{strings.ReplaceAll(err.Error(), password, "***"), err}
		}
	}
	return err
}

// A redacted error is shown without what it quotes.
type redacted struct {
	text  string
	cause error
}

func (e *redacted) Error() string { return e.text }

func (e *redacted) Unwrap() error { return e.cause }

// sentinelAdvice is what to do about an answer of Sentinels; "" where nothing is known.
func (x explainer) sentinelAdvice(err error) string {
	switch {
	case errors.Is(err, redis.Nil):
		return fmt.Sprintf("no Sentinel knows a master of the name %q: redis.sentinel.master is the name in `sentinel monitor NAME …`", x.master)
	case redis.HasErrorPrefix(err, "NOAUTH"):
		return "the Sentinels want a password of their own: redis.sentinel.password"
	case redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "AUTH "):
		return "the Sentinels refuse the user or the password: redis.sentinel.user and redis.sentinel.password; redis.password is that of the servers that they watch"
	case redis.HasErrorPrefix(err, "NOPERM"):
		return "the Sentinels do not let this user ask for the master: redis.sentinel.user"
	case redis.HasErrorPrefix(err, "unknown command"):
		return "it is no Sentinel: redis.sentinel.addresses are the Sentinels', often port 26379; a server without them is redis.url"
	}
	return advice(err)
}

// advice is what to do about an error; "" where nothing is known, or nothing is to be done about it here.
func advice(err error) string {
	if text := answerAdvice(err); text != "" {
		return text
	}
	return connectionAdvice(err)
}

// answers are what Redis says, by how it begins, and what to do about it.
var answers = []struct{ prefix, advice string }{
	{"NOAUTH", "Redis wants a password, and the configuration has none: redis.password, or redis://:PASSWORD@host"},
	{"WRONGPASS", "Redis refuses the user or the password: redis.user and redis.password, or those in the address"},
	{"AUTH ", "Redis has no password, and the configuration gives it one: leave redis.password out, or set `requirepass`"},
	{"NOPERM", "the ACL of Redis does not let this user do what is needed, which idp/revocation/README.md lists: redis.user"},
	{"READONLY", "this Redis is a replica and takes no writes: `redis` names the master, or redis.sentinel those who know it"},
	{"MOVED", "this Redis is a node of a Cluster: redis.cluster names some of its nodes"},
	{"This instance has cluster support disabled", "this Redis is no Cluster: redis.url names a single server"},
}

func answerAdvice(err error) string {
	for _, answer := range answers {
		if redis.HasErrorPrefix(err, answer.prefix) {
			return answer.advice
		}
	}
	return ""
}

// connectionAdvice is about what comes before any answer.
func connectionAdvice(err error) string {
	var (
		record   tls.RecordHeaderError
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		onTheWay *net.OpError
	)
	switch {
	case errors.Is(err, errProtected), errors.As(err, &record) && string(record.RecordHeader[:]) == "-DENI":
		return "Redis is in protected mode, and serves nobody on other machines: give it a password (`requirepass`) and say it here, redis.password; or `protected-mode no`"
	case errors.As(err, &record), errors.Is(err, errNoHandshake):
		return "the server does not speak TLS at this port, and the configuration asks for it: redis:// in place of rediss://, no redis.tls, or the server's `tls-port`"
	case errors.Is(err, errSpeaksTLS):
		return "the server speaks TLS at this port: rediss:// in place of redis://, or redis.tls: true"
	case errors.Is(err, errSpeaksHTTP):
		return "the server is no Redis: it speaks HTTP"
	case errors.Is(err, errNoAnswer):
		return "the server ends every connection: where it speaks TLS at this port, rediss:// in place of redis://, or redis.tls: true"
	case errors.As(err, &unknown):
		return "the certificate of Redis is of an authority that is not trusted: redis.ca is a file with its certificate"
	case errors.As(err, &name):
		return "the certificate of Redis is for other names than the one that it is asked by: `redis` has to name one of them"
	case errors.As(err, &invalid):
		return "the certificate of Redis is not valid: it takes another one"
	case errors.As(err, &onTheWay) && onTheWay.Op == "remote error":
		return "the server refuses this TLS connection; vilogate has no client certificate to show, and redis-server wants one unless `tls-auth-clients no`"
	}
	return ""
}
