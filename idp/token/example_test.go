package token_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// An identity provider signs an access token, and whoever has its public key verifies it.
func ExampleVerifier() {
	key, err := token.GenerateKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2030, 1, 2, 15, 0, 0, 0, time.UTC)
	raw, err := key.SignAccess(token.Grant{
		Issuer: "https://login.viloforge.com", Audience: "viloforge", Subject: "u-1", User: "alice", Name: "Alice",
		Email: "alice@viloforge.com", Session: "s-1", ID: "j-1", Roles: []string{"member"}, AMR: []string{"pwd"},
		AuthTime: now, IssuedAt: now, Expires: now.Add(15 * time.Minute),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := token.NewVerifier(token.VerifierConfig{Issuers: []token.IssuerConfig{{
		Name: token.OwnIssuer, Own: true, ISS: "https://login.viloforge.com", Audiences: []string{"viloforge"},
		Keys: jwks.Static([]token.PublicKey{key.Public()}),
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(raw, now.Add(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.User(), claims.Roles(), claims.Expires().UTC().Format(time.TimeOnly))

	_, err = verifier.Verify(raw, now.Add(15*time.Minute))
	fmt.Println(errors.Is(err, token.ErrExpired))
	// Output:
	// alice [member] 15:15:00
	// true
}

// The names of another issuer stand after its own, and its roles count only where they are mapped.
func ExampleVerifier_anotherIssuer() {
	theirs, err := token.GenerateKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := token.ParseSet(token.MarshalSet([]token.PublicKey{theirs.Public()})) // as it is published
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2030, 1, 2, 15, 0, 0, 0, time.UTC)
	raw, err := theirs.SignAccess(token.Grant{
		Issuer: "https://id.partner.example", Audience: "viloforge", Subject: "1042", User: "alice", Session: "s", ID: "j",
		Roles: []string{"admin"}, AuthTime: now, IssuedAt: now, Expires: now.Add(time.Hour),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := token.NewVerifier(token.VerifierConfig{Issuers: []token.IssuerConfig{{
		Name: "partner", ISS: "https://id.partner.example", Audiences: []string{"viloforge"}, Keys: jwks.Static(keys),
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := verifier.Verify(raw, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.User(), claims.Subject(), claims.Roles())
	// Output:
	// partner:alice partner:1042 []
}

// A gateway tells one backend who is asking. To another backend the same assertion says nothing.
func ExampleVerifyAssertion() {
	key, err := token.GenerateKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2030, 1, 2, 15, 0, 0, 0, time.UTC)
	raw, err := key.SignAssertion(token.Assertion{
		Issuer: "https://viloforge.com", Audience: "billing", Subject: "u-1", User: "alice", Roles: []string{"member"},
		IssuedAt: now, Expires: now.Add(time.Minute),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	keys := jwks.Static([]token.PublicKey{key.Public()})
	a, err := token.VerifyAssertion(raw, keys, "https://viloforge.com", "billing", now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.User, a.Subject, a.Roles)

	_, err = token.VerifyAssertion(raw, keys, "https://viloforge.com", "inventory", now)
	fmt.Println(errors.Is(err, token.ErrInvalid))
	// Output:
	// alice u-1 [member]
	// true
}
