package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// passThroughWorker is a page whose service worker only passes requests on, and which shows how its request was told of.
func passThroughWorker(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/worker.js" {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, `addEventListener("install", () => skipWaiting()); addEventListener("activate", e => e.waitUntil(clients.claim()));
addEventListener("fetch", e => e.respondWith(fetch(e.request)))`)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><title>page</title><p id="dest">%s %s</p>`, r.Header.Get("Sec-Fetch-Dest"), r.Header.Get("Sec-Fetch-Mode"))
}

const workerPolicy = `
host: app.viloforge.localhost
upstream: app
routes:
  - { path: /, allow: public }
  - { path: /worker.js, allow: public }
  - { path: "/*rest", allow: authenticated }
`

// registerWorker is true once the worker is between the page and its host.
const registerWorker = `navigator.serviceWorker.register("/worker.js").then(() => new Promise(done => {
	const look = () => navigator.serviceWorker.controller && done(true)
	navigator.serviceWorker.oncontrollerchange = look
	look()
}))`

// TestBrowserBehindAServiceWorker: a page's service worker that only passes requests on makes a navigation look like
// something else (FlowFuse/node-red-dashboard#2213); who is signed out gets to the login page all the same, and back.
func TestBrowserBehindAServiceWorker(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(passThroughWorker))
	t.Cleanup(backend.Close)
	s := (&application{Server: backend}).site(t, map[string]string{"policies/app.yaml": workerPolicy})
	b := browse(t, s).tab()
	b.open(s.url("app", "/"))
	if got := b.evaluate(registerWorker); got != "true" {
		t.Fatalf("registering the service worker: %s", got)
	}
	b.open(s.url("app", "/secret"))
	b.signIn("alice", passwordOf("alice"))
	b.at(s.url("app", "/secret"))
	if dest := strings.TrimSpace(b.evaluate(`document.querySelector("#dest").textContent`)); dest != "empty navigate" {
		t.Errorf("the service worker was not in between: the destination was %q", dest)
	}
}
