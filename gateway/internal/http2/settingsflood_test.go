package http2

import (
	"io"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

// A SETTINGS frame that says hundreds of windows would cost each stream of the connection a change for each.
func TestSettingsWithoutEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		}, nil))
		all := make([]http2.Setting, maxSettings)
		for i := range all {
			all[i] = http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}
		}
		p.write(p.WriteSettings(all...))
		p.stays()
		p.quiet = true
		p.write(p.WriteSettings(append(all, all[0])...))
		if e := p.goAway(); e.code != http2.ErrCodeEnhanceYourCalm {
			t.Error(e)
		}
	})
}
