package revocation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The keys in Redis. They share one hash tag, so that a script may use several of them in a Cluster too.
const (
	keyStream   = "vilogate:{fleet}:revocation:stream"
	keyIndex    = "vilogate:{fleet}:revocation:index"
	keyGateways = "vilogate:{fleet}:gateway:keys"

	keyPosts      = "vilogate:{fleet}:posts"       // by their ends, with their sizes
	keyPostsTotal = "vilogate:{fleet}:posts:total" // bytes
	prefixPost    = "vilogate:{fleet}:post:"       // of an id
	prefixSender  = "vilogate:{fleet}:posts:of:"   // of an owner
)

// The purposes for which keys are derived from the secret.
const (
	purposeEntries  = "vilogate revocation v1"
	purposeGateways = "vilogate gateway keys v1"
)

// replyTimeout is the Timeout of RedisOptions where none is given. A server that does not answer at all
// is noticed within it, not by TCP.
const replyTimeout = time.Second

// Sentinel names a master, and the Sentinels that know where it is.
type Sentinel struct {
	Master    string
	Addresses []string // host:port
	// User and Password are the Sentinels' own. Optional: they want none.
	User, Password string
}

// RedisOptions say where Redis is, in exactly one of three ways, and how to read what stands in it.
type RedisOptions struct {
	// URL is one server: redis://, rediss:// or unix://.
	URL string
	// Sentinel is the master that Sentinels name.
	Sentinel Sentinel
	// Cluster are some nodes of a Cluster, as host:port.
	Cluster []string
	// User and Password are for the servers that hold the data, and not for Sentinels. Optional: those in URL, else none.
	User, Password string
	// TLS speaks TLS with every server, the Sentinels too. Optional: as URL says.
	TLS bool
	// CAPEM are the certificates (PEM) that are trusted as the servers' authority, and no others. Optional: the usual ones.
	CAPEM string
	// Secret is what the fleet shares, at least 32 bytes. Fleets of different secrets need Redis databases of their own.
	Secret []byte
	// AwaitRestore has the first load wait for an identity provider to put back what Redis may have lost (see [Kept]), ten
	// seconds at most. Optional.
	AwaitRestore bool
	// Timeout is how long a server may take to accept a connection, and how long to answer. A command that is answered at once
	// has twice that, since it may be tried again. Optional: one second.
	Timeout time.Duration
	// Log is told of resets and of what was put back. Optional.
	Log *slog.Logger
	// Now is the clock by which gateway keys expire. Optional: time.Now.
	Now func() time.Time
}

// Redis is the log of a fleet, and where its gateways publish their keys. It is safe for concurrent use.
type Redis struct {
	client   redis.UniversalClient
	address  string // for errors: where Redis is, without a password
	entries  seal
	gateways seal
	log      *slog.Logger
	now      func() time.Time
	timeout  time.Duration // of one answer

	awaitRestore bool        // the first load still has to wait; used by Follow's goroutine alone
	answeredAt   time.Time   // when Redis first answered it; likewise
	unrestored   atomic.Bool // it waited in vain

	// readBlock is how long Redis holds a read of the stream that has nothing new. It bounds how long it takes to notice
	// that the stream was reset, and, with timeout, that Redis does not answer at all.
	readBlock time.Duration
	// streamLength is how many entries the stream keeps: what a reader may be behind without having to load the index.
	streamLength int
	// reconcileEvery is how often a reader loads the index though it missed nothing.
	reconcileEvery time.Duration
	// restoreTimeout bounds the wait of AwaitRestore, from the first answer of Redis on.
	restoreTimeout time.Duration
}

// OpenRedis verifies the options. It connects to nothing yet: a Redis that is away comes later.
func OpenRedis(o RedisOptions) (*Redis, error) {
	if o.Timeout == 0 {
		o.Timeout = replyTimeout
	}
	r := &Redis{
		log: o.Log, now: o.Now, timeout: o.Timeout, awaitRestore: o.AwaitRestore,
		readBlock: 500 * time.Millisecond, streamLength: 10_000, reconcileEvery: 30 * time.Second, restoreTimeout: 10 * time.Second,
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	var err error
	if r.entries, err = newSeal(o.Secret, purposeEntries); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if r.gateways, err = newSeal(o.Secret, purposeGateways); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	// The library writes to standard error what it also returns.
	logging.Disable()
	if r.client, r.address, err = connect(o); err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return r, nil
}

// Client is the connection, for other rooms that keep something in the same Redis.
// Close ends it for all.
func (r *Redis) Client() redis.UniversalClient { return r.client }

// String says where Redis is, without a password.
func (r *Redis) String() string { return r.address }

// Close gives up the connections.
func (r *Redis) Close() error { return r.client.Close() }

// connect makes the client, which dials when it is first used, and says where it is for.
func connect(o RedisOptions) (client redis.UniversalClient, place string, err error) {
	sentinel, cluster := o.Sentinel, o.Cluster
	bySentinel := sentinel.Master != "" || len(sentinel.Addresses) > 0
	u := commonOptions(o)
	switch {
	case o.URL != "" && !bySentinel && len(cluster) == 0:
		if err := parseURL(o.URL, u); err != nil {
			return nil, "", err
		}
		place = u.Addrs[0]
	case bySentinel && o.URL == "" && len(cluster) == 0:
		if sentinel.Master == "" || len(sentinel.Addresses) == 0 {
			return nil, "", errors.New("sentinel needs the master's name and at least one address")
		}
		u.MasterName, u.Addrs = sentinel.Master, sentinel.Addresses
		u.SentinelUsername, u.SentinelPassword = sentinel.User, sentinel.Password
		place = fmt.Sprintf("master %q of the sentinels %s", sentinel.Master, strings.Join(sentinel.Addresses, ", "))
	case len(cluster) > 0 && o.URL == "" && !bySentinel:
		u.Addrs, place = cluster, "cluster "+strings.Join(cluster, ", ")
	default:
		return nil, "", errors.New("it is one of: a URL, sentinel, cluster")
	}
	secure, err := tlsConfig(o, u.TLSConfig != nil)
	if err != nil {
		return nil, "", err
	}
	u.Dialer, u.TLSConfig = dialer(secure, o.Timeout), nil
	switch {
	case bySentinel:
		client = redis.NewFailoverClient(u.Failover())
	case len(cluster) > 0:
		client = redis.NewClusterClient(u.Cluster())
	default:
		client = redis.NewClient(u.Simple())
	}
	client.AddHook(explainer{master: sentinel.Master, passwords: []string{u.Password, sentinel.Password}})
	return client, place, nil
}

// commonOptions is what holds for every connection. A command is tried again once, on another connection, since the first may
// have ended unnoticed; every try is short, so that the caller's deadline holds.
func commonOptions(o RedisOptions) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Username: o.User, Password: o.Password,
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout,
		MaxRetries: 1, DialerRetries: 1,
		PoolSize: 8, PoolTimeout: o.Timeout,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// tlsConfig is how TLS is spoken, nil where it is not. byURL says that the URL asks for it.
func tlsConfig(o RedisOptions, byURL bool) (*tls.Config, error) {
	if !o.TLS && !byURL {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAPEM != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(o.CAPEM)) {
			return nil, errors.New("its ca holds no certificate (PEM)")
		}
	}
	return config, nil
}

// parseURL reads the address of one server into u. Its errors do not quote the URL, which may hold a password.
func parseURL(raw string, u *redis.UniversalOptions) error {
	parsed, err := url.Parse(raw)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return fmt.Errorf("the URL cannot be read: %w", err)
	}
	for option := range parsed.Query() {
		if option != "db" {
			return fmt.Errorf("the URL has the option %q, which is not supported", option)
		}
	}
	o, err := redis.ParseURL(raw)
	if err != nil {
		return fmt.Errorf("the URL cannot be used: %w", err)
	}
	u.Addrs, u.DB, u.TLSConfig = []string{o.Addr}, o.DB, o.TLSConfig
	if parsed.User != nil {
		u.Username, u.Password = o.Username, o.Password
	}
	return nil
}

// commandError says which Redis a command failed at.
func (r *Redis) commandError(doing string, err error) error {
	return fmt.Errorf("redis %s: %s: %w", r.address, doing, err)
}

// answerBy bounds a command that Redis answers at once: it may be tried twice.
func (r *Redis) answerBy(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 2*r.timeout)
}
