package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/handover"
	"github.com/viloforge/vilogate/gateway/edge"
)

// listeners are the ports of a process. All are opened before anything else, so that one in use is known at once.
type listeners struct {
	https, http, admin, idp, forwardAuth []net.Listener
	http3                                []net.PacketConn
}

// http3Setting is what the sockets for HTTP/3 are for.
const http3Setting = "listen.http3"

// setting is what listeners are for.
type setting struct {
	setting   string
	listeners []net.Listener
}

// named are the listeners by what they are for.
func (l *listeners) named() []setting {
	return []setting{{"listen.admin", l.admin}, {"listen.https", l.https}, {"listen.http", l.http}, {"idp.listen", l.idp}, {"forward_auth.listen", l.forwardAuth}}
}

// listen opens what the configuration says, as far as the process was not started with it. From systemd it is all or nothing:
// what systemd does not hold would be refused while the process restarts.
func listen(ctx context.Context, cfg *config.Config, in *handover.Inherited) (l *listeners, err error) {
	l = &listeners{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	type port struct {
		into    *[]net.Listener
		address config.Address
		setting string
	}
	ports := []port{{&l.admin, cfg.Listen.Admin, "listen.admin"}}
	if cfg.Gateway() {
		ports = append(ports, port{&l.https, cfg.Listen.HTTPS, "listen.https"}, port{&l.http, cfg.Listen.HTTP, "listen.http"})
		if cfg.ForwardAuth != nil {
			ports = append(ports, port{&l.forwardAuth, cfg.ForwardAuth.Listen, "forward_auth.listen"})
		}
	} else {
		ports = append(ports, port{&l.idp, cfg.IDP.Listen, "idp.listen"})
	}
	for _, p := range ports {
		if *p.into, err = openOrTake(ctx, in, p.address, p.setting, in.Listeners, edge.Listen); err != nil {
			return l, err
		}
	}
	if cfg.Gateway() {
		l.http3, err = openOrTake(ctx, in, cmp.Or(cfg.Listen.HTTP3, config.Off), http3Setting, in.Packets, edge.ListenPacket)
	}
	if err == nil && in.Activated() {
		if left := in.Left(); len(left) > 0 {
			err = fmt.Errorf("systemd passed sockets that no listener of the configuration has: %s; take them out of the socket unit, or configure them", strings.Join(left, ", "))
		}
	}
	return l, err
}

// openOrTake takes the sockets of a setting that the process was started with, or opens them.
func openOrTake[S any](ctx context.Context, in *handover.Inherited, address config.Address, setting string,
	take func(address, setting string) ([]S, error), open func(ctx context.Context, address, setting string) ([]S, error),
) ([]S, error) {
	if address == config.Off {
		return nil, nil
	}
	all, err := take(string(address), setting)
	switch {
	case err != nil || len(all) > 0:
		return all, err
	case in.Activated():
		return nil, fmt.Errorf("%s %s: systemd passed sockets to this process, and none for this address; it passed besides: %s; add it to the socket unit",
			setting, address, cmp.Or(strings.Join(in.Left(), ", "), "nothing"))
	}
	return open(ctx, string(address), setting)
}

func (l *listeners) close() error {
	var err error
	for _, one := range l.http3 {
		if e := one.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	for _, all := range [][]net.Listener{l.https, l.http, l.admin, l.idp, l.forwardAuth} {
		for _, one := range all {
			if e := one.Close(); !errors.Is(e, net.ErrClosed) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// Addresses is what addresses.json says: where a process listens, "" where it does not.
type Addresses struct {
	HTTPS string `json:"https"`
	HTTP3 string `json:"http3,omitempty"`
	HTTP  string `json:"http"`
	Admin string `json:"admin"`
	IDP   string `json:"idp,omitempty"`

	ForwardAuth string `json:"forward_auth,omitempty"`

	CA string `json:"ca"` // the path of the local CA

	PublicPort int       `json:"-"` // the port that people see
	NotAfter   time.Time `json:"-"` // when the first certificate ends
	OnlyIPv4   bool      `json:"-"` // one loopback of two: the machine has no ::1
}

// Origin is a host's origin as people see it.
func (a Addresses) Origin(host string) string {
	if a.PublicPort == 443 {
		return "https://" + host
	}
	return "https://" + net.JoinHostPort(host, strconv.Itoa(a.PublicPort))
}

func (l *listeners) addresses() Addresses {
	first := func(all []net.Listener) string {
		if len(all) == 0 {
			return ""
		}
		at, ok := all[0].Addr().(*net.TCPAddr)
		if ok && at.IP.IsUnspecified() {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port))
		}
		return all[0].Addr().String()
	}
	http3 := ""
	if len(l.http3) > 0 {
		http3 = l.http3[0].LocalAddr().String()
	}
	return Addresses{HTTP3: http3, HTTPS: first(l.https), HTTP: first(l.http), Admin: first(l.admin), IDP: first(l.idp), ForwardAuth: first(l.forwardAuth)}
}

// port is the port of the first of them, 0 when there is none.
func port(all []net.Listener) int {
	if len(all) == 0 {
		return 0
	}
	if tcp, ok := all[0].Addr().(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

// http3Port is the port for HTTP/3 that people see: the one of HTTPS, where both are alike here.
func (l *listeners) http3Port(public int) int {
	if len(l.http3) == 0 {
		return 0
	}
	own := l.http3[0].LocalAddr().(*net.UDPAddr).Port
	if own == port(l.https) {
		return public
	}
	return own
}

// plainServer serves plain HTTP to this machine or to a gateway.
type plainServer struct {
	*http.Server
	listeners []net.Listener
}

func newPlainServer(handler http.Handler, listeners []net.Listener, limits config.Limits, log *slog.Logger) plainServer {
	return plainServer{&http.Server{
		Handler: handler, ReadHeaderTimeout: limits.HeaderTime.Std(), IdleTimeout: limits.IdleTime.Std(),
		ReadTimeout:    max(time.Minute, limits.HeaderTime.Std()), // of a whole request; what is sent here is a form at most
		MaxHeaderBytes: int(limits.HeaderBytes), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}, listeners}
}
