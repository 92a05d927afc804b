package acme

import (
	"context"
	"errors"
	"fmt"
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
		case err != nil && (!errors.As(err, &said) || said.Status >= 500):
			return order, i.ofAuthority("asking the authority for the order under way", err)
		}
		if err := i.abandon(ctx, i.pending); err != nil {
			return order, err
		}
		i.pending.Order, i.pending.TXT = "", nil
	}
	order := acmez.Order{Identifiers: []acmez.Identifier{{Type: "dns", Value: i.name}}}
	if i.current != nil {
		// Whether the authority can use it is up to the authority.
		order.Replaces, _ = acmez.ARIUniqueIdentifier(i.current)
	}
	made, err := i.client.NewOrder(ctx, account, order)
	var said acmez.Problem
	if errors.As(err, &said) && order.Replaces != "" && replacesRefused(said) {
		order.Replaces = ""
		made, err = i.client.NewOrder(ctx, account, order)
	}
	if err != nil {
		return made, i.ofAuthority("asking the authority for a certificate for "+i.name, err)
	}
	i.pending.Order = made.Location
	return made, i.remember(ctx)
}

// replacesRefused reports whether it may be for the certificate to be replaced
// that an order was refused: another one has replaced it, it is another
// account's, or the authority does not know it.
func replacesRefused(said acmez.Problem) bool {
	return said.Status < 500 && !slices.Contains([]string{
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
	record := i.solver.recordOf(challenge)
	if !slices.Contains(i.pending.TXT, record) {
		i.pending.TXT = append(i.pending.TXT, record)
	}
	if err := i.remember(ctx); err != nil {
		return err
	}
	defer i.takeBack(context.WithoutCancel(ctx))
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
// removed now is noted for the next attempt, and keeps nobody from this one.
func (i *issuance) takeBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	var left []txt
	for _, record := range i.pending.TXT {
		if err := i.solver.remove(ctx, record); err != nil {
			i.o.Log.Warn("a TXT record is left behind, and removed with the next attempt", "error", err)
			left = append(left, record)
		}
	}
	i.pending.TXT = left
	if err := i.remember(ctx); err != nil {
		i.o.Log.Warn("a TXT record was removed, and is looked for again with the next attempt", "error", err)
	}
}

// remember writes the order under way down.
func (i *issuance) remember(ctx context.Context) error {
	return write(ctx, i.o.Storage, pendingKey(i.issuer, i.name), i.pending)
}

// abandon gives an order up: what it left behind in DNS is removed, and nobody
// goes on with it.
func (i *issuance) abandon(ctx context.Context, order *pending) error {
	for _, record := range order.TXT {
		if err := i.solver.remove(ctx, record); err != nil {
			return err
		}
	}
	return i.deleteOrder(ctx, i.name)
}

// settleOrder forgets the order for a name whose certificate is stored. One whose
// records could not be removed stays: the next attempt sees to them.
func (m *Manager) settleOrder(ctx context.Context, name string) error {
	var order pending
	if found, err := read(ctx, m.o.Storage, pendingKey(m.issuer, name), &order); err != nil || !found || len(order.TXT) > 0 {
		return err
	}
	return m.deleteOrder(ctx, name)
}

func (m *Manager) deleteOrder(ctx context.Context, name string) error {
	key := pendingKey(m.issuer, name)
	if err := m.o.Storage.Delete(ctx, key); err != nil {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	return nil
}
