package acmetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Cloudflare stands in for Cloudflare's API, version 4, as far as a DNS-01
// challenge goes, and answers as the real one does. Safe for concurrent use.
type Cloudflare struct {
	URL string // what stands for https://api.cloudflare.com/client/v4

	zones *Zones

	mu          sync.Mutex
	records     map[string]record // by id; guarded by mu
	last        int               // guarded by mu
	refuse      func(r *http.Request) (status, code int, message string)
	requests    int  // requests; guarded by mu
	zonesHidden bool // no zone shows; guarded by mu
}

type record struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Content string `json:"content"`
	TTL     int    `json:"ttl"`
	Zone    string `json:"zone_name"`
}

// NewCloudflare starts the API. It knows every zone of z.
func NewCloudflare(t testing.TB, z *Zones) *Cloudflare {
	t.Helper()
	c := &Cloudflare{zones: z, records: map[string]record{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /client/v4/zones", c.listZones)
	mux.HandleFunc("GET /client/v4/zones/{zone}/dns_records", c.listRecords)
	mux.HandleFunc("POST /client/v4/zones/{zone}/dns_records", c.createRecord)
	mux.HandleFunc("DELETE /client/v4/zones/{zone}/dns_records/{id}", c.deleteRecord)
	server := httptest.NewServer(c.guard(mux))
	t.Cleanup(server.Close)
	c.URL = server.URL + "/client/v4"
	return c
}

// Refuse has requests for which f returns a status answered with it; nil ends that.
func (c *Cloudflare) Refuse(f func(r *http.Request) (status, code int, message string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = f
}

// HideZones has the token see no zone.
func (c *Cloudflare) HideZones(hidden bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.zonesHidden = hidden
}

// Requests is how many requests came.
func (c *Cloudflare) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

func (c *Cloudflare) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests++
		refuse := c.refuse
		c.mu.Unlock()
		if refuse != nil {
			if status, code, message := refuse(r); status != 0 {
				writeError(w, status, code, message)
				return
			}
		}
		if r.Header.Get("Authorization") != "Bearer "+Token {
			writeError(w, http.StatusForbidden, 9109, "Invalid access token")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func writeError(w http.ResponseWriter, status, code int, message string) {
	writeJSON(w, status, map[string]any{"success": false, "errors": []any{map[string]any{"code": code, "message": message}}, "messages": []any{}, "result": nil})
}

func writeResult(w http.ResponseWriter, result any, count int) {
	writeJSON(w, http.StatusOK, map[string]any{
		"success": true, "errors": []any{}, "messages": []any{}, "result": result,
		"result_info": map[string]any{"page": 1, "per_page": 100, "count": count, "total_count": count, "total_pages": 1},
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		return // whoever asked is gone
	}
}

func (c *Cloudflare) listZones(w http.ResponseWriter, r *http.Request) {
	found := []any{}
	c.mu.Lock()
	blind := c.zonesHidden
	c.mu.Unlock()
	c.zones.mu.Lock()
	for _, apex := range c.zones.apexes {
		if !blind && apex == dns.Fqdn(r.URL.Query().Get("name")) {
			name := strings.TrimSuffix(apex, ".")
			found = append(found, map[string]any{"id": "zone-" + name, "name": name, "status": "active"})
		}
	}
	c.zones.mu.Unlock()
	writeResult(w, found, len(found))
}

func (c *Cloudflare) listRecords(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c.mu.Lock()
	defer c.mu.Unlock()
	found := []record{}
	for _, one := range c.records {
		if one.Type == q.Get("type") && one.Name == strings.TrimSuffix(q.Get("name"), ".") && strings.Contains(one.Content, q.Get("content.contains")) {
			found = append(found, one)
		}
	}
	writeResult(w, found, len(found))
}

func (c *Cloudflare) createRecord(w http.ResponseWriter, r *http.Request) {
	var wanted record
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		writeError(w, http.StatusBadRequest, 9207, "Request body is invalid.")
		return
	}
	zone := strings.TrimPrefix(r.PathValue("zone"), "zone-")
	if wanted.Name != zone && !strings.HasSuffix(wanted.Name, "."+zone) {
		wanted.Name += "." + zone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.records {
		if one.Name == wanted.Name && one.Content == wanted.Content {
			writeError(w, http.StatusBadRequest, 81058, "An identical record already exists.")
			return
		}
	}
	c.last++
	wanted.ID, wanted.Zone = fmt.Sprintf("record-%d", c.last), zone
	c.records[wanted.ID] = wanted
	c.zones.add(wanted.Name, strings.Trim(wanted.Content, `"`))
	writeResult(w, wanted, 1)
}

func (c *Cloudflare) deleteRecord(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, ok := c.records[r.PathValue("id")]
	if !ok {
		writeError(w, http.StatusNotFound, 81044, "Record does not exist.")
		return
	}
	delete(c.records, one.ID)
	c.zones.remove(one.Name, strings.Trim(one.Content, `"`))
	writeResult(w, one, 1)
}

// Token is the API token that a world's Cloudflare takes.
const Token = "cf-token-0123456789abcdefghijklmnopqrst"
