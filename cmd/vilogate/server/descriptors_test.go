package server

import (
	"testing"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
)

// TestOpenFilesAreSharedOut: what clients and upstreams have together leaves what the process needs, whatever there is; a login in
// another process has its part.
func TestOpenFilesAreSharedOut(t *testing.T) {
	t.Parallel()
	for _, login := range []*config.Login{nil, {Upstream: "http://127.0.0.1:9000"}} {
		cfg := &config.Config{Login: login, Limits: config.Limits{ClientRequests: 500}, Redis: &config.Redis{}}
		for _, limit := range []int{256, 300, 1024, 4096, 65536, 1 << 20} {
			d := allocate(limit, cfg)
			sum := d.Clients + d.Redirects + d.Requests + d.IdleConnections + d.OneClients + d.LoginRequests
			if free := limit - d.Own; sum > max(free, limit/2) || limit >= 1024 && sum < free*9/10 {
				t.Errorf("%d: %+v is %d", limit, d, sum)
			}
			if d.PerClient > max(d.Requests/4, 1) || d.PerClient > 500 || min(d.Clients, d.Redirects, d.Requests, d.PerClient) < 1 || (d.LoginRequests > 0) != (login != nil) {
				t.Errorf("%d: %+v", limit, d)
			}
			if warns := d.Warning(cfg) != ""; warns != (d.PerClient < 500) {
				t.Errorf("%d: %+v warns: %v", limit, d, warns)
			}
		}
	}
}
