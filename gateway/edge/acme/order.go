package acme

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	acmez "github.com/mholt/acmez/v3/acme"
)

// order is the pending order, or a new one.
func (i *issuance) order(ctx context.Context, account acmez.Account) (acmez.Order, error) {
	if i.pending.Order != "" {
		order, err := i.client.GetOrder(ctx, account, acmez.Order{Location: i.pending.Order})
		var acmeErr acmez.Problem
		switch {
		case err == nil && order.Status != acmez.StatusInvalid && order.Status != "":
			return order, nil
		case err != nil && (!errors.As(err, &acmeErr) || !orderGone(acmeErr)):
			return order, i.authorityProblem("asking the authority for the pending order", err)
		}
		if err := i.abandon(ctx); err != nil {
			return order, err
		}
	}
	order := acmez.Order{Identifiers: []acmez.Identifier{{Type: "dns", Value: i.name}}}
	if i.current != nil {
		order.Replaces = i.current.id() // whether the authority can use it is up to the authority
	}
	made, err := i.client.NewOrder(ctx, account, order)
	var acmeErr acmez.Problem
	if errors.As(err, &acmeErr) && order.Replaces != "" && replacesRefused(acmeErr) {
		order.Replaces = ""
		made, err = i.client.NewOrder(ctx, account, order)
	}
	if err != nil {
		p := i.authorityProblem("asking the authority for a certificate for "+i.name, err)
		p.Counted = true // there may be an order whose answer was lost
		return made, p
	}
	i.pending.Order = made.Location
	return made, i.savePending(ctx)
}

// orderGone reports whether an order does not exist any more, by the authority's
// problem document.
func orderGone(acmeErr acmez.Problem) bool {
	return acmeErr.Status == http.StatusNotFound || acmeErr.Status == http.StatusGone ||
		slices.Contains([]string{acmez.ProblemTypeMalformed, acmez.ProblemTypeUnauthorized}, acmeErr.Type)
}

// replacesRefused reports whether it may be for the certificate to be replaced
// that an order was refused: another one has replaced it, it is another
// account's, or the authority does not know it, or stumbles over it.
func replacesRefused(acmeErr acmez.Problem) bool {
	return !slices.Contains([]string{
		acmez.ProblemTypeRateLimited, acmez.ProblemTypeAccountDoesNotExist, acmez.ProblemTypeRejectedIdentifier, acmez.ProblemTypeUserActionRequired,
	}, acmeErr.Type)
}

// authorise completes the authorizations of the order that are not valid yet (RFC
// 8555, section 7.5).
func (i *issuance) authorise(ctx context.Context, account acmez.Account, order acmez.Order) error {
	for _, at := range order.Authorizations {
		authorization, err := i.client.GetAuthorization(ctx, account, at)
		if err != nil {
			return i.authorityProblem("asking the authority what proves that "+i.name+" is ours", err)
		}
		if authorization.Status == acmez.StatusValid {
			continue
		}
		if err := i.solveChallenge(ctx, account, authorization); err != nil {
			return err
		}
	}
	return nil
}

// solveChallenge solves the dns-01 challenge of an authorization. The TXT record is
// removed afterwards, whatever the result.
func (i *issuance) solveChallenge(ctx context.Context, account acmez.Account, authorization acmez.Authorization) error {
	at := slices.IndexFunc(authorization.Challenges, func(c acmez.Challenge) bool { return c.Type == acmez.ChallengeTypeDNS01 })
	if at < 0 {
		return i.validationProblem(i.name, errors.New("it does not offer the challenge dns-01"))
	}
	challenge := authorization.Challenges[at]
	name, value := i.solver.txtRecord(challenge)
	if !slices.ContainsFunc(i.pending.TXT, func(t txt) bool { return t.Name == name && t.Value == value }) {
		i.pending.TXT = append(i.pending.TXT, txt{name, value, i.opts.Now().UTC()})
	}
	if err := i.savePending(ctx); err != nil {
		return err
	}
	defer i.cleanup(ctx)
	if err := i.solver.present(ctx, challenge); err != nil {
		return err
	}
	if challenge.Status == acmez.StatusPending || challenge.Status == "" {
		if _, err := i.client.InitiateChallenge(ctx, account, challenge); err != nil {
			return i.validationProblem(i.name, err)
		}
	}
	authorization.Status = "" // what was said of it is old
	if _, err := i.client.PollAuthorization(ctx, account, authorization); err != nil {
		return i.validationProblem(i.name, err)
	}
	return nil
}

// cleanup removes the listed TXT records. What cannot be removed now stays listed
// for the next attempt, and blocks nothing. At shutdown it still has
// shutdownTimeout.
func (i *issuance) cleanup(ctx context.Context) {
	timeout := requestTimeout
	if ctx.Err() != nil {
		timeout = shutdownTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	var left []txt
	for _, record := range i.pending.TXT {
		if err := i.solver.remove(ctx, record.Name, record.Value); err != nil {
			i.opts.Log.Warn("TXT record cleanup failed; the next attempt retries it", "record", record.Name, "error", err)
			left = append(left, record)
		}
	}
	i.pending.TXT = left
	if err := i.savePending(ctx); err != nil {
		i.opts.Log.Warn("storing the pending order after TXT cleanup failed", "error", err)
	}
}

// shutdownTimeout bounds the cleanup when the process ends.
const shutdownTimeout = 3 * time.Second
