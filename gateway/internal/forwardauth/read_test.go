package forwardauth

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const host = "app.example.com"

func serves(name string) bool { return name == host || name == "other.example.com" }

// asked is what a proxy asks with: header lines, NAME: VALUE.
func asked(target string, host string, lines ...string) AuthRequest {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.TrimPrefix(value, " "))
	}
	return AuthRequest{Method: "GET", Host: host, Target: target, Header: h, Serves: serves}
}

func TestEveryDialectSaysTheSame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a    AuthRequest
		want Request
	}{
		"traefik": {
			asked(Path, "vilogate:4181", "X-Forwarded-Method: PUT", "X-Forwarded-Uri: /a%2Fb?c", "X-Forwarded-Host: "+host, "X-Forwarded-Proto: https", "X-Forwarded-Port: 443"),
			Request{Forwarded, "PUT", host, "/a%2Fb?c"},
		},
		"caddy": {
			asked(Path, host, "X-Forwarded-Method: PUT", "X-Forwarded-Uri: //a", "X-Forwarded-Host: APP.example.com", "X-Forwarded-Proto: HTTPS"),
			Request{Forwarded, "PUT", "APP.example.com", "//a"},
		},
		"without X-Forwarded-Host": {
			asked(Path, host, "X-Forwarded-Method: GET", "X-Forwarded-Uri: /", "X-Forwarded-Proto: wss"), Request{Forwarded, "GET", host, "/"},
		},
		"nginx": {
			asked(Path, host, "X-Original-Method: GET", "X-Original-URI: /a/../b", "X-Forwarded-Proto: https"), Request{Original, "GET", host, "/a/../b"},
		},
		"ingress-nginx": {
			asked(Path, "vilogate.auth.svc:4181", "X-Original-Method: GET", "X-Original-URL: https://"+host+"/a?b=https://c/"), Request{Original, "GET", host, "/a?b=https://c/"},
		},
		"a URL without a path": {
			asked(Path, "vilogate", "X-Original-Method: GET", "X-Original-URL: https://"+host+"?a"), Request{Original, "GET", host, "/?a"},
		},
		"envoy": {
			AuthRequest{Method: "POST", Host: host + ":443", Target: Path + "/a?b", Header: http.Header{"X-Forwarded-Proto": {"https"}}, Serves: serves},
			Request{Prefixed, "POST", host + ":443", "/a?b"},
		},
		"both alike": {
			asked(Path, host, "X-Original-Method: GET", "X-Original-URI: /a", "X-Forwarded-Method: GET", "X-Forwarded-Uri: https://app.example.com/a", "X-Forwarded-Proto: https"),
			Request{Forwarded, "GET", host, "/a"},
		},
	} {
		if got, err := Read(c.a); got != c.want || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestNothingIsPreferred: what is said twice, in two ways or not at all is an error, which names the headers.
func TestNothingIsPreferred(t *testing.T) {
	t.Parallel()
	nginx := []string{"X-Original-Method: GET", "X-Original-URI: /a", "X-Forwarded-Proto: https"}
	for name, c := range map[string]struct {
		a    AuthRequest
		want string
	}{
		"method":          {asked(Path, host, nginx[1:]...), "X-Forwarded-Method or X-Original-Method is missing"},
		"target":          {asked(Path, host, nginx[0], nginx[2]), "X-Forwarded-Uri, X-Original-Uri or X-Original-Url is missing"},
		"scheme":          {asked(Path, host, nginx[:2]...), "X-Forwarded-Proto is missing"},
		"host":            {asked(Path, "", nginx...), "X-Forwarded-Host is missing"},
		"http":            {asked(Path, host, nginx[0], nginx[1], "X-Forwarded-Proto: http"), "X-Forwarded-Proto is not https"},
		"url of http":     {asked(Path, host, nginx[0], "X-Original-URL: http://app.example.com/a"), "is not https"},
		"two targets":     {asked(Path, host, append(nginx, "X-Forwarded-Uri: /b")...), "X-Forwarded-Uri and X-Original-Uri contradict each other"},
		"two URLs":        {asked(Path, host, append(nginx, "X-Original-URL: https://app.example.com/b")...), "X-Original-Uri and X-Original-Url contradict each other"},
		"two methods":     {asked(Path, host, append(nginx, "X-Forwarded-Method: get")...), "X-Forwarded-Method and X-Original-Method contradict each other"},
		"two schemes":     {asked(Path, host, append(nginx, "X-Original-URL: http://app.example.com/a")...), "X-Forwarded-Proto and X-Original-Url contradict each other"},
		"two hosts":       {asked(Path, host, append(nginx, "X-Forwarded-Host: other.example.com")...), "X-Forwarded-Host and Host contradict each other"},
		"no ASCII":        {asked(Path, "\u212atest.example", append(nginx, "X-Forwarded-Host: ktest.example")...), "X-Forwarded-Host and Host contradict each other"},
		"a host of ours":  {asked(Path, "Other.example.com.:4181", "X-Forwarded-Method: GET", "X-Forwarded-Uri: /", "X-Forwarded-Proto: https", "X-Forwarded-Host: "+host), "X-Forwarded-Host and Host contradict"},
		"userinfo":        {asked(Path, host, append(nginx, "X-Original-URL: https://app.example.com@evil.example/a")...), "X-Original-Url and Host contradict each other"},
		"another URL":     {asked(Path, "vilogate", "X-Original-Method: GET", "X-Original-URL: https://evil.example/a", "X-Forwarded-Host: "+host), "X-Forwarded-Host and X-Original-Url contradict each other"},
		"twice":           {asked(Path, host, append(nginx, nginx[1])...), "X-Original-Uri is there twice"},
		"odd":             {asked(Path, host, append(nginx, "X_Forwarded_Uri: /a")...), "a header has a name that other servers take for X-Forwarded-Uri"},
		"envoy and else":  {asked(Path+"/a", host, "X-Forwarded-Uri: /b", "X-Forwarded-Proto: https"), "the path behind /.vilogate/auth and X-Forwarded-Uri contradict each other"},
		"envoy of a name": {asked(Path+"/a", host, "X-Forwarded-Host: other.example.com", "X-Forwarded-Proto: https"), "X-Forwarded-Host and Host contradict each other"},
	} {
		got, err := Read(c.a)
		var malformed *Error
		if !errors.As(err, &malformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v, want %s", name, got, err, c.want)
		}
	}
}

// FuzzRead: whatever a client adds to what its proxy says, what is read is what the proxy says, or nothing.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"X-Forwarded-Uri: /b", "X-Original-URL: https://app.example.com/b", "X-Forwarded-Host: other.example.com", "X_Original_URI: /b", "X-Original-Method: POST\nX-Forwarded-Proto: wss"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, added string) {
		for _, proxy := range [][]string{
			{"X-Forwarded-Method: GET", "X-Forwarded-Uri: /a", "X-Forwarded-Host: " + host, "X-Forwarded-Proto: https"},
			{"X-Original-Method: GET", "X-Original-URI: /a", "X-Forwarded-Host: " + host, "X-Forwarded-Proto: https"},
		} {
			got, err := Read(asked(Path, host, append(slices.Clone(proxy), strings.Split(added, "\n")...)...))
			if err == nil && (got.Method != "GET" || got.Target != "/a" || !strings.EqualFold(got.Authority, host)) {
				t.Errorf("with %q: %+v", added, got)
			}
		}
	})
}

// TestProxysOwnWords: what is the proxy's is no field of the request that it holds, and identity headers are.
func TestProxysOwnWords(t *testing.T) {
	t.Parallel()
	own := map[string]bool{"X-Forwarded-Uri": true, "X-Original-Url": true, "X-Real-Ip": true, "Connection": true, "X-Auth-Request-Redirect": true}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(own)), []string{"Cookie", "X-Forwarded-For", "Forwarded", "X-Forwarded-User", "X-User", "Upgrade", "Origin", "X-Auth-Request-User"}) {
		if IsProxyHeader(name) != own[name] {
			t.Errorf("%s: %t", name, IsProxyHeader(name))
		}
	}
}
