package idp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/viloforge/vilogate/idp/internal/password"
	"github.com/viloforge/vilogate/policies/request"
)

// What the form says. It never tells whether it was the name or the password, nor whether there is such a user.
const (
	msgBadCredentials  = "Wrong user name or password."
	msgTooManyAttempts = "Too many failed attempts. Please wait a little, then try again."
	msgTooManyLogins   = "This user has signed in too often in a short time. Please wait a little, then try again."
	msgBusy            = "Too many people are signing in at this moment. Please try again shortly."
)

// attempt is one attempt at a password that was let through, and counts as failed until something else is said.
type attempt struct {
	// client is whose work it is: a known browser's where the account knows it.
	client password.Client
	// refund takes it back: nothing was learned of the password.
	refund func()
	// succeeded resets what had failed before it.
	succeeded func()
}

// authenticate checks a password. It costs one hash whoever is named, and takes an attempt unless it succeeds: of the browser
// where the account knows it, else of the account and of the address. The refusal's detail is what the form says.
func (x *exchange) authenticate(name, typed string) (a account, err error) {
	attempt, err := x.takeAttempt(name)
	if err != nil {
		return account{}, err
	}
	known := false
	if checkUserName(name) == nil {
		a, err = x.idp.directory.findAccount(x.r.Context(), name)
		known = err == nil && !a.Disabled
		if err != nil && !errors.Is(err, ErrUnknownUser) {
			attempt.refund()
			return account{}, err
		}
	}
	hash := ""
	if known && len(typed) <= maxPassword {
		hash = a.password
	} else {
		typed = "" // the same work without a user (timing, user enumeration)
	}
	match, err := x.idp.passwords.Check(x.r.Context(), attempt.client, hash, typed)
	if errors.Is(err, password.ErrBusy) && attempt.client.Known {
		match, err = x.idp.passwords.Check(x.r.Context(), x.unknownClient(), hash, typed)
	}
	switch {
	case errors.Is(err, password.ErrBusy):
		attempt.refund()
		x.failed = failedLogin{a, failedBusy}
		return account{}, refuseBusy()
	case err != nil:
		attempt.refund()
		return account{}, fmt.Errorf("checking a password: %w", err)
	case !match:
		x.failed = failedLogin{a, failedPassword}
		switch {
		case a.ID == "":
			x.failed.reason = failedUnknown
		case a.Disabled:
			x.failed.reason = failedDisabled
		}
		x.log("login failed", "known", known, "subject", a.ID, "known_browser", attempt.client.Known)
		return account{}, &refusal{status: http.StatusUnauthorized, detail: msgBadCredentials}
	}
	// Only whoever knows the password is told of this limit, so that it does not tell who exists.
	if wait, ok := x.idp.successes.Take(a.ID+" "+x.network(), x.idp.o.Now()); !ok {
		attempt.refund()
		x.failed = failedLogin{a, failedLimited}
		x.log("logins rate limited", "subject", a.ID, "wait", wait)
		return account{}, &refusal{status: http.StatusTooManyRequests, retry: wait, detail: msgTooManyLogins}
	}
	attempt.succeeded()
	x.rehash(attempt.client, &a, typed)
	return a, nil
}

// refuseBusy is what is said where more are signing in than there are places.
func refuseBusy() error {
	return &refusal{status: http.StatusTooManyRequests, retry: 2 * time.Second, detail: msgBusy}
}

// rehash rehashes a password that was just proven, where its hash is of another cost than today's. It may fail:
// then the next login tries again.
func (x *exchange) rehash(client password.Client, a *account, typed string) {
	if !x.idp.passwords.NeedsRehash(a.password) {
		return
	}
	ctx := x.r.Context()
	hash, err := x.idp.passwords.Hash(ctx, client, typed)
	if err == nil {
		err = x.idp.o.DB.Write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE users SET password = ? WHERE id = ? AND password = ?", hash, a.ID, a.password)
			return errors.Join(err, rehashKnownBrowsers(ctx, tx, a.ID, a.password, hash))
		})
	}
	if err != nil {
		x.log("password rehash failed", "subject", a.ID, "error", err)
		return
	}
	a.password = hash
}

// network is what this client's work and failures are counted by: its address, of IPv6 the /64.
func (x *exchange) network() string { return request.ClientNetwork(x.client).String() }

// unknownClient is whom work is done for where the browser is not known. One client may have many addresses of a /24, or of IPv6
// many networks of a /48.
func (x *exchange) unknownClient() password.Client {
	network, bits := request.ClientNetwork(x.client), 48
	if network.Addr().Is4() {
		bits = 24
	}
	return password.Client{Network: network.String(), Supernet: netip.PrefixFrom(network.Addr(), bits).Masked().String()}
}

// knownClient is whom work is done for that a known browser of the account asks for: by account, so that one cannot take what
// others have at the same address.
func (x *exchange) knownClient(subject string) password.Client {
	return password.Client{Network: x.network() + " " + subject, Supernet: subject, Known: true}
}

// takeAttempt takes an attempt of the browser, where the account knows it, else one of those that strangers share. Names that
// no account has are known to no browser.
func (x *exchange) takeAttempt(name string) (attempt, error) {
	client, subject := x.unknownClient(), ""
	secret, ok := x.readDevice()
	if ok {
		var err error
		if subject, client.Known, err = x.idp.directory.knowsBrowser(x.r.Context(), secret, name); err != nil {
			return attempt{}, err
		}
	}
	if client.Known {
		client = x.knownClient(subject)
	}
	if x.leave, ok = x.idp.inFlight.enter(client); !ok {
		x.failed.reason = failedBusy
		return attempt{}, refuseBusy()
	}
	if !client.Known {
		return x.takeUnknownAttempt(name)
	}
	refund, ok, err := x.idp.directory.takeKnownAttempt(x.r.Context(), secret, subject)
	switch {
	case err != nil:
		return attempt{}, err
	case !ok: // others of the same browser were faster
		return x.takeUnknownAttempt(name)
	}
	return attempt{
		client: client,
		refund: func() {
			if err := refund(); err != nil {
				x.log("refunding an attempt failed", "error", err)
			}
		},
		succeeded: func() { x.idp.perAccount.Reset(name) }, // rememberBrowser begins another count of the browser
	}, nil
}

// takeUnknownAttempt takes an attempt of the account and of the address.
func (x *exchange) takeUnknownAttempt(name string) (attempt, error) {
	now, address := x.idp.o.Now(), x.network()
	var refund func()
	wait, ok := x.idp.perAddress.Take(address, now)
	if ok {
		if refund, wait, ok = x.idp.perAccount.Take(name, now); !ok {
			x.idp.perAddress.Refund(address)
		}
	}
	if !ok {
		x.failed.reason = failedLimited
		x.log("login rate limited", "wait", wait)
		return attempt{}, &refusal{status: http.StatusTooManyRequests, retry: wait, detail: msgTooManyAttempts}
	}
	return attempt{
		client: x.unknownClient(),
		refund: func() {
			x.idp.perAddress.Refund(address)
			refund()
		},
		succeeded: func() {
			x.idp.perAddress.Refund(address)
			x.idp.perAccount.Reset(name)
		},
	}, nil
}

// rememberBrowser makes this browser known to the account, and returns since when it is, and whether that is only now. It may
// fail: then the next login tries again, and the browser is taken for a new one.
func (x *exchange) rememberBrowser(a account) (since time.Time, isNew bool) {
	var previous *deviceSecret
	if had, ok := x.readDevice(); ok {
		previous = &had
	}
	secret, since, isNew, err := x.idp.directory.rememberBrowser(context.WithoutCancel(x.r.Context()), a, previous)
	if err != nil {
		x.log("remembering the browser failed", "subject", a.ID, "error", err)
		return since, isNew
	}
	x.setCookie(deviceCookie, secret.cookie(), knownBrowserLife)
	return since, isNew
}
