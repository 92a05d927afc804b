package upstreams

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/viloforge/vilogate/upstreams/identity"
)

// What the inventory takes at most.
const (
	maxItems     = 1000
	maxItemName  = 100     // bytes
	maxItemBytes = 4 << 10 // of a request's body
)

// item is one item as the API shows it.
type item struct {
	ID       int    `json:"item_id"`
	Name     string `json:"name"`
	Quantity int    `json:"quantity"`
}

// inventory is what is in stock, in the order of its ids.
type inventory struct {
	mu    sync.Mutex
	items []item // guarded by mu
}

// Inventory is the inventory API: GET and POST /items, GET /whoami, and
// GET /healthz for anybody. Items live as long as the handler.
func Inventory(kit *identity.Kit) http.Handler {
	stock := &inventory{items: []item{{1, "Anvil", 3}, {2, "Hammer", 12}, {3, "Tongs", 7}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serveHealth)
	mux.Handle("GET /favicon.ico", staticFile("icon.svg", iconSVG)) // browsers ask for it unasked
	mux.Handle("GET /whoami", kit.Require(http.HandlerFunc(serveWhoami)))
	mux.Handle("GET /items", kit.Require(http.HandlerFunc(stock.list)))
	mux.Handle("POST /items", kit.Require(http.HandlerFunc(stock.create)))
	return mux
}

func (s *inventory) list(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	items := slices.Clone(s.items)
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, items)
}

func (s *inventory) create(w http.ResponseWriter, r *http.Request) {
	wanted, err := readItem(w, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeProblem(w, r, http.StatusRequestEntityTooLarge, "An item is smaller than that")
		return
	case err != nil:
		writeProblem(w, r, http.StatusBadRequest, `An item is {"name": text, "quantity": number}`)
		return
	}
	created, ok := s.add(wanted)
	if !ok {
		writeProblem(w, r, http.StatusInsufficientStorage, "The inventory is full")
		return
	}
	writeJSON(w, http.StatusCreated, created)
}

// readItem reads an item that is to be: its name and its quantity, both given.
func readItem(w http.ResponseWriter, r *http.Request) (item, error) {
	var body struct {
		Name     *string `json:"name"`
		Quantity *int    `json:"quantity"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxItemBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return item{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return item{}, errors.New("trailing data after the item")
	}
	switch {
	case body.Name == nil || *body.Name == "" || len(*body.Name) > maxItemName:
		return item{}, errors.New("the name is missing or too long")
	case body.Quantity == nil || *body.Quantity < 0:
		return item{}, errors.New("the quantity is missing or negative")
	}
	return item{Name: *body.Name, Quantity: *body.Quantity}, nil
}

// add gives the item an id and keeps it, if there is room.
func (s *inventory) add(wanted item) (item, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.items) >= maxItems {
		return item{}, false
	}
	wanted.ID = len(s.items) + 1
	s.items = append(s.items, wanted)
	return wanted, true
}
