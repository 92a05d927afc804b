// Package extauthz reads and writes the messages by which Envoy asks over gRPC (envoy.service.auth.v3.Authorization/Check): of a
// CheckRequest, which request it holds, and of a CheckResponse, what to change of it, or the refusal. It is pure, and stands on floor
// 0.
//
// It knows the fields that it needs of the messages, by their numbers in
// envoy/service/auth/v3/external_auth.proto and attribute_context.proto, and skips the others. What is malformed, has no HTTP request,
// or says one thing twice is refused; a message has a length that is bounded by whoever receives it.
package extauthz
