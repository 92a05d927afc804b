// Package policies is the language in which ops say who may ask what of which host.
package policies
