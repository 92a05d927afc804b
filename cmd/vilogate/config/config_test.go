package config_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

var update = flag.Bool("update", false, "write the errors of testdata/bad as they are now")

const (
	short = "hunter2-hunter2"
	long  = "0123456789abcdef0123456789abcdef"
)

func sources() config.Sources {
	return config.Sources{
		Getenv: func(name string) string { return map[string]string{"SHORT": short, "LONG": long}[name] },
		ReadFile: func(path string) ([]byte, error) {
			switch filepath.Base(path) {
			case "website.url":
				return []byte("http://127.0.0.1:8001\n"), nil
			case "empty":
				return []byte("\n"), nil
			}
			return os.ReadFile(path)
		},
	}
}

// Each file of testdata/bad ends with the errors that it must give, as comments.
func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) < 30 {
		t.Fatal(err, len(paths))
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			content, want, _ := strings.Cut(string(data), "\n# ERRORS\n")
			_, err = config.Load(path, sources())
			var all strictyaml.Errors
			if !errors.As(err, &all) {
				t.Fatalf("want errors with places, got %v", err)
			}
			var got strings.Builder
			for _, e := range all {
				line := strings.TrimPrefix(e.Error(), path+":")
				if strings.Contains(line, short) || strings.Contains(line, long) {
					t.Errorf("an error quotes a secret: %s", line)
				}
				got.WriteString("# " + line + "\n")
			}
			if *update {
				if err := os.WriteFile(path, []byte(content+"\n# ERRORS\n"+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != want {
				t.Errorf("got\n%swant\n%s", got.String(), want)
			}
		})
	}
}

func load(t *testing.T, name string) *config.Config {
	t.Helper()
	c, err := config.Load(filepath.Join("testdata/good", name+".yaml"), sources())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaultsAreSafe(t *testing.T) {
	t.Parallel()
	c := load(t, "dev")
	for what, ok := range map[string]bool{
		"listen":       c.Listen.HTTPS == ":443" && c.Listen.HTTP == ":80" && c.Listen.Admin == "127.0.0.1:9901",
		"state":        c.State == "testdata/good" && c.Policies == "testdata/good/policies",
		"drain":        c.Drain.Delay == 0 && time.Duration(c.Drain.Timeout) == 30*time.Second,
		"certificates": len(c.Certificates.Names) == 2 && c.Certificates.Names[1] == "*.viloforge.localhost",
		"tokens":       c.Tokens.Cookie == "__Secure-sso" && c.Tokens.Audience == "viloforge",
		"idp":          c.IDP.Home == "/account" && c.IDP.SessionMax.String() == "30d" && c.IDP.AccessTokenTTL.String() == "15m" && c.IDP.LoginLimits.PerAccount == config.Rate{Rate: gcra.Rate{Events: 10, Per: time.Minute}},
		"upstream":     c.Upstreams["website"].URL == "http://127.0.0.1:8001" && c.Upstreams["website"].IdentityHeaders == "x-user",
		"limits":       c.Limits.HeaderBytes == 65536 && c.Limits.BodyMinRate == 1024 && c.Limits.Streams == 250 && c.Limits.ClientRequests == 500,
		"resolve":      c.Upstreams["website"].Resolve == config.Resolve(10*time.Second) && c.Upstreams["website"].Resolver == "",
		"queue":        c.Upstreams["website"].Concurrency == 0 && c.Upstreams["website"].Queue.Length == 100 && c.Upstreams["website"].Queue.Timeout.String() == "1s",
		"revocation":   c.Revocation.MaxStaleness.String() == "30s",
		"roles":        c.Gateway() && c.UsesOwnIDP(),
		"login":        c.KeepPost() == 1<<20 && strings.Join(c.Logout.ClearSiteData, " ") == "cache",
	} {
		if !ok {
			t.Errorf("%s: %+v", what, c)
		}
	}
}

func TestEveryKeyOfCloudflareArrives(t *testing.T) {
	t.Parallel()
	c := load(t, "cloudflare").Certificates
	for what, ok := range map[string]bool{
		"names": len(c.Names) == 2 && c.Names[0] == "viloforge.com" && c.Names[1] == "*.viloforge.com",
		"token": c.APIToken == long && c.Email == "ops@viloforge.com" && c.APIBase == "http://127.0.0.1:8080/client/v4",
		"ca":    c.CA == "https://acme-staging-v02.api.letsencrypt.org/directory" && c.CARoots == "testdata/good/roots.pem" && c.EAB.KeyID == "kid" && len(c.EAB.MACKey) == 64,
		"dns":   len(c.DNS.Resolvers) == 3 && c.DNS.PropagationTimeout.String() == "5m" && c.ChallengeDomain == "_acme-challenge.example.net",
	} {
		if !ok {
			t.Errorf("%s: %+v", what, c)
		}
	}
}

func TestEveryKeyArrives(t *testing.T) {
	t.Parallel()
	c := load(t, "gateway")
	for what, ok := range map[string]bool{
		"off":   c.Listen.HTTP == config.Off && c.Listen.Admin == config.Off && c.Listen.HTTPS.Port() == 443,
		"redis": c.Redis.Sentinel.Master == "m" && len(c.Redis.Sentinel.Addresses) == 2 && c.Secret == long,
		"redis users": c.Redis.User == "gateway" && c.Redis.Password == long && c.Redis.Sentinel.User == "watcher" && c.Redis.Sentinel.Password == short &&
			c.Redis.UsesTLS() && strings.Contains(c.Redis.CAPEM, "CERTIFICATE"),
		"proxies": len(c.TrustedProxies) == 4 && c.TrustedProxies[1].Bits() == 32 && c.TrustedProxies[3].String() == "10.0.0.1/32",
		"client":  len(c.ClientIPHeaders) == 2 && c.ClientIPHeaders[0] == "Cf-Connecting-Ip" && c.ClientIPHeaders[1] == "X-Real-Ip" && !c.UsesForwarded(),
		"files":   c.Certificates.Files[0].Certificate == "testdata/good/tls.crt" && c.Certificates.Files[0].Key == "/etc/tls.key",
		"issuers": c.Tokens.Issuers[0].Claims.Roles[0] == "groups" && c.Tokens.Issuers[1].Algorithm == "HS256" && c.Tokens.Issuers[1].Cookie == "jwt",
		"others": c.Tokens.Issuers[2].WithoutAudience() && len(c.Tokens.Issuers[2].ClientIDs) == 2 && c.Tokens.Issuers[2].Claims.Roles[1] == "my.app" &&
			c.Tokens.Issuers[2].Claims.Delimiter == "," && c.Tokens.Issuers[2].RoleMap["/admins"] == "admin" && !c.Tokens.Issuers[2].KeepsRoles() && c.Tokens.Issuers[2].Algorithms[0] == "RS256",
		"secrets":   len(c.Tokens.Issuers[3].SharedSecrets()) == 2 && c.Tokens.Issuers[3].Algorithm == "HS256" && c.Tokens.MaxBytes == 32<<10,
		"kept":      c.Tokens.Issuers[0].KeepsRoles() && !c.Tokens.Issuers[1].KeepsRoles(),
		"login":     c.Login.Upstream == "http://10.0.0.9:9000" && c.UsesOwnIDP() && c.KeepPost() == 2<<20,
		"logout":    strings.Join(c.Logout.ClearSiteData, " ") == "cache storage",
		"upstreams": len(c.Upstreams["billing"].Addresses()) == 2 && c.Upstreams["inventory"].ForwardToken == "legacy.django_1" && c.Upstreams["inventory"].IdentityHeadersPass[0] == "X-Webauth-User",
		"limits": c.Limits.ClientRequests == 50 && c.Upstreams["billing"].Concurrency == 20 && c.Upstreams["billing"].Connections == 10 &&
			c.Upstreams["billing"].Queue.Length == 30 && c.Upstreams["billing"].Queue.Timeout.String() == "2s" &&
			c.Upstreams["billing"].Breaker.Failures == 5 && c.Upstreams["billing"].Breaker.Open.String() == "10s",
		"resolve": c.Upstreams["consul"].Resolve == config.Resolve(3*time.Second) && c.Upstreams["consul"].Resolver == "127.0.0.1:8600" && c.Upstreams["zone"].Resolve == config.Resolve(time.Hour),
		"audit": c.Audit.File == "testdata/good/audit.log" && c.Audit.MaxSize == 10<<20 && c.Audit.Keep == 3 &&
			c.Audit.Fsync == "off" && c.Audit.OnFailure == "drop",
		"names": strings.Join(c.IssuerNames(), " ") == "vilogate partner legacy.django_1 cognito rotating",
	} {
		if !ok {
			t.Errorf("%s: %+v", what, c)
		}
	}
	if idp := load(t, "idp"); idp.Gateway() || idp.State != "testdata/good/state" || idp.Redis.Cluster[0] != "10.0.0.1:7000" {
		t.Errorf("idp: %+v", idp)
	}
	if legacy := load(t, "legacy"); legacy.UsesOwnIDP() || legacy.Tokens.Issuers[0].Algorithm != "HS256" || legacy.KeepPost() != 0 || len(legacy.Logout.ClearSiteData) != 0 {
		t.Errorf("legacy: %+v", legacy)
	}
}

func TestInterpolation(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"${LONG}": long, "a$b": "a$b", "$${LONG}": "${LONG}", "${LONG}${LONG}x": long + long + "x",
		"$$${LONG}": "$${LONG}", "${file:secret}": "line\n",
	} {
		from := sources()
		from.ReadFile = func(path string) ([]byte, error) {
			switch path {
			case "/etc/v/v.yaml":
				return []byte("domain: viloforge.com\ncertificates: { source: local }\npolicies: p\nsecret: \"01234567890123456789012345678901" + in + "\"\n"), nil
			case "/etc/v/secret":
				return []byte("line\n\r\n"), nil
			}
			return nil, fs.ErrNotExist
		}
		c, err := config.Load("/etc/v/v.yaml", from)
		if err != nil || c.Secret[32:] != want {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
}

func TestACheckWithoutSecretsLeavesThemOut(t *testing.T) {
	t.Parallel()
	from := sources()
	from.NoSecrets, from.Getenv = true, func(string) string { return "" }
	for _, name := range []string{"gateway", "idp", "legacy", "dev"} {
		if _, err := config.Load(filepath.Join("testdata/good", name+".yaml"), from); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := config.Load("testdata/bad/idp-and-login-url.yaml", from)
	if err == nil {
		t.Error("a mistake went through for want of secrets")
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		from := sources()
		from.ReadFile = func(path string) ([]byte, error) {
			if path == "v.yaml" {
				return bytes.Clone(data), nil
			}
			return nil, fs.ErrNotExist
		}
		c, err := config.Load("v.yaml", from)
		var all strictyaml.Errors
		if err != nil && !errors.As(err, &all) || (err == nil) != (c != nil) {
			t.Fatalf("neither a configuration nor errors with places: %v", err)
		}
		if err != nil && strings.Contains(err.Error(), long) && !bytes.Contains(data, []byte(long)) {
			t.Fatalf("an error quotes a secret: %v", err)
		}
	})
}
