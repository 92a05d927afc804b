package acme

import (
	"context"
	"errors"
	"net/http"
	"slices"

	acmez "github.com/mholt/acmez/v3/acme"
)

// order is the order under way, or a new one.
func (i *issuance) order(ctx context.Context, account acmez.Account) (acmez.Order, error) {
	if i.pending.Order != "" {
		order, err := i.client.GetOrder(ctx, account, acmez.Order{Location: i.pending.Order})
		var said acmez.Problem
		switch {
		case err == nil && order.Status != acmez.StatusInvalid && order.Status != "":
			return order, nil
		case err != nil && (!errors.As(err, &said) || !isGone(said)):
			return order, i.ofAuthority("asking the authority for the order under way", err)
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
	var said acmez.Problem
	if errors.As(err, &said) && order.Replaces != "" && replacesRefused(said) {
		order.Replaces = ""
		made, err = i.client.NewOrder(ctx, account, order)
	}
	if err != nil {
		p := i.ofAuthority("asking the authority for a certificate for "+i.name, err)
		p.Counted = true // there may be an order whose answer was lost
		return made, p
	}
	i.pending.Order = made.Location
	return made, i.remember(ctx)
}

// isGone reports whether there is no such order any more, by what the authority
// says when it is asked for it.
func isGone(said acmez.Problem) bool {
	return said.Status == http.StatusNotFound || said.Status == http.StatusGone ||
		slices.Contains([]string{acmez.ProblemTypeMalformed, acmez.ProblemTypeUnauthorized}, said.Type)
}

// replacesRefused reports whether it may be for the certificate to be replaced
// that an order was refused: another one has replaced it, it is another
// account's, or the authority does not know it, or stumbles over it.
func replacesRefused(said acmez.Problem) bool {
	return !slices.Contains([]string{
		acmez.ProblemTypeRateLimited, acmez.ProblemTypeAccountDoesNotExist, acmez.ProblemTypeRejectedIdentifier, acmez.ProblemTypeUserActionRequired,
	}, said.Type)
}

// authorize proves that the name is ours, as far as the authority does not
// believe it already.
func (i *issuance) authorize(ctx context.Context, account acmez.Account, order acmez.Order) error {
	for _, at := range order.Authorizations {
		authorization, err := i.client.GetAuthorization(ctx, account, at)
		if err != nil {
			return i.ofAuthority("asking the authority what proves that "+i.name+" is ours", err)
		}
		if authorization.Status == acmez.StatusValid {
			continue
		}
		if err := i.prove(ctx, account, authorization); err != nil {
			return err
		}
	}
	return nil
}

// prove answers one challenge. The record is gone afterwards, whatever came of it.
func (i *issuance) prove(ctx context.Context, account acmez.Account, authorization acmez.Authorization) error {
	at := slices.IndexFunc(authorization.Challenges, func(c acmez.Challenge) bool { return c.Type == acmez.ChallengeTypeDNS01 })
	if at < 0 {
		return i.ofValidation(i.name, errors.New("it does not offer the challenge dns-01"))
	}
	challenge := authorization.Challenges[at]
	name, value := i.solver.recordOf(challenge)
	if !slices.ContainsFunc(i.pending.TXT, func(t txt) bool { return t.Name == name && t.Value == value }) {
		i.pending.TXT = append(i.pending.TXT, txt{name, value, i.o.Now().UTC()})
	}
	if err := i.remember(ctx); err != nil {
		return err
	}
	defer i.takeBack(ctx)
	if err := i.solver.present(ctx, challenge); err != nil {
		return err
	}
	if challenge.Status == acmez.StatusPending || challenge.Status == "" {
		if _, err := i.client.InitiateChallenge(ctx, account, challenge); err != nil {
			return i.ofValidation(i.name, err)
		}
	}
	authorization.Status = "" // what was said of it is old
	if _, err := i.client.PollAuthorization(ctx, account, authorization); err != nil {
		return i.ofValidation(i.name, err)
	}
	return nil
}

// takeBack removes the records that are noted, and the notes. What cannot be
// removed now stays noted, and keeps nobody from going on. When the process ends
// it still has a moment for it.
func (i *issuance) takeBack(ctx context.Context) {
	patience := requestTime
	if ctx.Err() != nil {
		patience = lastTime
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var left []txt
	for _, record := range i.pending.TXT {
		if err := i.solver.remove(ctx, record.Name, record.Value); err != nil {
			i.o.Log.Warn("a TXT record may be left behind; the next attempt looks for it again", "record", record.Name, "error", err)
			left = append(left, record)
		}
	}
	i.pending.TXT = left
	if err := i.remember(ctx); err != nil {
		i.o.Log.Warn("a TXT record is gone, and the note of it is not", "error", err)
	}
}
