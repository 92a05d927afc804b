package strictyaml

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A Duration is written with the units d, h, m and s, the largest first: 30d, 1h30m, 15m, 10s.
type Duration time.Duration

// A Size is a number of bytes, written plainly or with the units KiB and MiB: 512, 64KiB, 1MiB.
type Size int64

var (
	errDuration = errors.New("a duration is written as 30d, 8h, 1h30m, 15m or 10s")
	errSize     = errors.New("a size is written as 512, 64KiB or 1MiB")
)

var durationUnits = []struct {
	letter byte
	unit   time.Duration
}{{'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}

// ParseDuration parses the text of a Duration.
func ParseDuration(s string) (Duration, error) {
	if s == "" {
		return 0, errDuration
	}
	var total time.Duration
	for _, u := range durationUnits {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		if digits == len(s) || s[digits] != u.letter {
			continue
		}
		n, err := strconv.ParseInt(s[:digits], 10, 64)
		if err != nil || n > int64((math.MaxInt64-total)/u.unit) {
			return 0, errDuration
		}
		total += time.Duration(n) * u.unit
		s = s[digits+1:]
	}
	if s != "" {
		return 0, errDuration
	}
	return Duration(total), nil
}

// Std is the duration as package time has it.
func (t Duration) Std() time.Duration { return time.Duration(t) }

// String is the duration as it would be written.
func (t Duration) String() string {
	var b strings.Builder
	rest := time.Duration(t)
	for _, u := range durationUnits {
		if n := rest / u.unit; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10))
			b.WriteByte(u.letter)
			rest -= n * u.unit
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// DecodeYAML takes the text of a duration.
func (t *Duration) DecodeYAML(d *Decoder, n *yaml.Node) {
	var err error
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		err = errDuration
	} else {
		*t, err = ParseDuration(n.Value)
	}
	if err != nil {
		d.Errorf(n, "%v, found %s", err, d.describe(n))
	}
}

// ParseSize parses the text of a Size.
func ParseSize(s string) (Size, error) {
	digits, unit := s, int64(1)
	if rest, ok := strings.CutSuffix(s, "KiB"); ok {
		digits, unit = rest, 1<<10
	} else if rest, ok := strings.CutSuffix(s, "MiB"); ok {
		digits, unit = rest, 1<<20
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, errSize
	}
	return Size(int64(n) * unit), nil
}

// String is the size as it would be written.
func (s Size) String() string {
	switch {
	case s > 0 && s%(1<<20) == 0:
		return strconv.FormatInt(int64(s)>>20, 10) + "MiB"
	case s > 0 && s%(1<<10) == 0:
		return strconv.FormatInt(int64(s)>>10, 10) + "KiB"
	}
	return strconv.FormatInt(int64(s), 10)
}

// DecodeYAML takes a plain number or the text of a size.
func (s *Size) DecodeYAML(d *Decoder, n *yaml.Node) {
	err := errSize
	if n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!str" || n.ShortTag() == "!!int") {
		*s, err = ParseSize(n.Value)
	}
	if err != nil {
		d.Errorf(n, "%v, found %s", err, d.describe(n))
	}
}
