// Package posts keeps what a form has sent while nobody was signed in any more, until its sender has signed in again and
// says that it is to be sent: the body, its type and its address.
//
// It stands on floor 1 and knows neither HTTP nor policies. What may be kept, and when it is sent, is the gateway's to
// say (gateway/keep.go, gateway/sendkept.go); a [Keeper] says for how long, how much, and whose.
//
//   - bounds.go: how much, and for how long.
//   - post.go: a [Post], whose it is, and its bytes.
//   - keeper.go: a [Keeper] seals posts (AES-256-GCM) and hands them to a [Store], by a random id; [Keeper.Proof] is what
//     the browser's cookie has to say for the id.
//   - memory.go: the store of one process. That of a fleet is Redis, through which a post that one gateway has kept is sent
//     by another: idp/revocation has it, since what may stand in Redis beside the revocations is for it to say.
//
// What this package keeps: nothing is kept for longer than [Lifetime], no more than [PerBrowser] posts of a browser, and
// all together no more than [Total]; what was taken once is never taken again; a store sees no name and no content.
package posts
