package config

import (
	"reflect"
	"strings"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// CheckReload refuses a configuration that a process which runs with before cannot take over: a key that is marked
// `reload:"restart"` has changed. Where in the file something stands does not count. One such change is taken over: our own
// IdP begins where people signed in elsewhere (BeginsIDP).
func CheckReload(before, after *Config) error {
	var wrong strictyaml.Errors
	was, is := reflect.ValueOf(*before), reflect.ValueOf(*after)
	for i := range was.NumField() {
		field := was.Type().Field(i)
		if BeginsIDP(before, after) && (field.Name == "IDP" || field.Name == "Login") {
			continue
		}
		if key := keyOf(field); key != "" && takesRestart(was.Field(i), is.Field(i), marked(field)) {
			wrong = append(wrong, &strictyaml.Error{Place: after.Places.Of(key), Msg: "`" + key + "` has changed, which takes a restart"})
		}
	}
	if BeginsIDP(before, after) && before.KeepPost() != after.KeepPost() {
		wrong = append(wrong, &strictyaml.Error{Place: after.Places.Of("login"), Msg: "`login.keep_post` has changed, which takes a restart"})
	}
	return wrong.Sorted()
}

// BeginsIDP reports whether a reload has our own IdP begin in a gateway that had none, here or in another process: `idp:` in
// place of `login.url`, or of nothing. With Redis that takes a restart: an IdP keeps revocations in its database too, from the
// start.
func BeginsIDP(before, after *Config) bool {
	return before.Gateway() && !before.UsesOwnIDP() && after.IDP != nil && before.Redis == nil && after.Redis == nil
}

// keyOf is the key that a field stands for in the file, "" for none.
func keyOf(field reflect.StructField) string {
	key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	return strings.TrimPrefix(key, "-")
}

func marked(field reflect.StructField) bool { return field.Tag.Get("reload") == "restart" }

// takesRestart reports whether two values differ in what takes a restart: in anything where they are marked, else in what
// is marked inside of them.
func takesRestart(was, is reflect.Value, all bool) bool {
	if all {
		return !equal(was, is)
	}
	if was.Kind() != reflect.Struct {
		return false
	}
	for i := range was.NumField() {
		if takesRestart(was.Field(i), is.Field(i), marked(was.Type().Field(i))) {
			return true
		}
	}
	return false
}

// Equal reports whether two parts of configurations, of one type, say the same, wherever they stand in their files.
func Equal[T any](a, b T) bool { return equal(reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem()) }

func equal(a, b reflect.Value) bool {
	switch {
	case a.Type() == reflect.TypeFor[strictyaml.Places]():
		return true
	case a.Kind() == reflect.Pointer:
		return a.IsNil() == b.IsNil() && (a.IsNil() || equal(a.Elem(), b.Elem()))
	case a.Kind() == reflect.Slice:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equal(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case a.Kind() == reflect.Map:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		for _, key := range a.MapKeys() {
			if other := b.MapIndex(key); !other.IsValid() || !equal(a.MapIndex(key), other) {
				return false
			}
		}
		return true
	case a.Kind() == reflect.Struct && !a.Type().Comparable(): // it has places, or something that has
		for i := range a.NumField() {
			if !equal(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}
