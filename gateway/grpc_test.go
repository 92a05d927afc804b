package gateway

import (
	"math"
	"testing"
	"time"
)

func TestWhatIsGRPC(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc+json": true, "application/grpc;charset=utf-8": true,
		"": false, "application/grpcX": false, "application/grpc-web": false, "application/grpc-web+proto": false, "application/grpc-web-text": false,
		"application/grpc ": false, "text/application/grpc": false, "Application/grpc": false,
	} {
		if got := isGRPCType(contentType); got != want {
			t.Errorf("%q: %v", contentType, got)
		}
	}
}

func TestGRPCTimeouts(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "0S": 0, "300m": 300 * time.Millisecond, "1u": time.Microsecond, "99999999n": 99999999,
		"99999999H": math.MaxInt64 / time.Hour * time.Hour,
		"":          -1, "1": -1, "S": -1, "1s": -1, "-1S": -1, "+1S": -1, "1.5S": -1, "100000000S": -1, " 1S": -1, "1 S": -1, "0x1S": -1,
	} {
		got, ok := parseGRPCTimeout(s)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestGRPCMessages(t *testing.T) {
	t.Parallel()
	if got := percentEncode("100 % é\n~"); got != "100 %25 %C3%A9%0A~" {
		t.Errorf("%q", got)
	}
}
