package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/policies"
)

// openAudit opens the audit log, where there is to be one.
func (p *process) openAudit(cfg *config.Config) (err error) {
	a := cfg.Audit
	if a == nil {
		return nil
	}
	p.audit, err = audit.Open(audit.Options{
		File: a.File, MaxSize: int64(a.MaxSize), Keep: a.Keep,
		Fsync:     map[config.Fsync]audit.Fsync{"always": audit.Always, "interval": audit.Interval, "off": audit.Off}[a.Fsync],
		OnFailure: map[string]audit.OnFailure{"refuse": audit.Refuse, "drop": audit.Drop}[a.OnFailure],
		Log:       p.log,
	})
	if err != nil {
		return placed(a.Places.Of("file"), err)
	}
	p.onClose(p.audit.Close)
	p.also(p.audit.Run)
	stats := p.audit.Stats
	p.metrics.Counter("audit_records_total", "Records of the audit log that were written.", func() float64 { return float64(stats().Written) })
	p.metrics.Counter("audit_dropped_total", "Decisions that have no record in the audit log.", func() float64 { return float64(stats().Dropped) })
	p.metrics.Counter("audit_failures_total", "Writes of the audit log that failed.", func() float64 { return float64(stats().Failures) })
	p.metrics.Gauge("audit_waiting", "Records of the audit log that wait to be written.", func() float64 { return float64(stats().Waiting) })
	p.metrics.Gauge("audit_failing", "Whether the audit log cannot be written at the moment.", func() float64 {
		if stats().Failing {
			return 1
		}
		return 0
	})
	return nil
}

// policiesID names policies in records: the SHA-256 of all files with their names below dir, wherever that is.
func policiesID(dir string, files []policies.File) string {
	type entry struct {
		name string
		data []byte
	}
	var entries []entry
	for _, f := range files {
		name, err := filepath.Rel(dir, f.Name)
		if err != nil {
			name = f.Name
		}
		entries = append(entries, entry{filepath.ToSlash(name), f.Data})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	h := sha256.New()
	part := func(b []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		h.Write(length[:])
		h.Write(b)
	}
	for _, e := range entries {
		part([]byte(e.name))
		part(e.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// openShadow reads and compiles the policies that stand in the shadow of the live ones, where there are any.
func (b *builder) openShadow(cfg *config.Config, gen *generation) (set *policies.Set, err error) {
	if b.shadow == "" {
		return nil, nil
	}
	if gen.shadowFiles, err = readPolicies(b.shadow); err != nil {
		return nil, fmt.Errorf("the policies in the shadow: %w", err)
	}
	return policies.Compile(gen.shadowFiles, policyOptions(cfg, b.publicPort))
}
