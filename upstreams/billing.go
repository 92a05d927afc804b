package upstreams

import (
	"net/http"
	"strconv"

	"github.com/viloforge/vilogate/upstreams/identity"
)

// invoice is one invoice as the API shows it.
type invoice struct {
	ID     int    `json:"invoice_id"`
	Amount int    `json:"amount"`
	User   string `json:"user"`
}

// refund is the answer to a refund.
type refund struct {
	ID       int  `json:"invoice_id"`
	Refunded bool `json:"refunded"`
}

// invoicesOf returns the invoices of a user: the same two for everybody.
func invoicesOf(user string) []invoice {
	return []invoice{{1, 100, user}, {2, 250, user}}
}

// Billing is the billing API: GET /invoices, POST /invoices/{id}/refund,
// GET /whoami, and GET /healthz for anybody.
func Billing(kit *identity.Kit) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serveHealth)
	mux.Handle("GET /favicon.ico", staticFile("icon.svg", iconSVG)) // browsers ask for it unasked
	mux.Handle("GET /whoami", kit.Require(http.HandlerFunc(serveWhoami)))
	mux.Handle("GET /invoices", kit.Require(http.HandlerFunc(listInvoices)))
	mux.Handle("POST /invoices/{id}/refund", kit.Require(http.HandlerFunc(refundInvoice)))
	return mux
}

func listInvoices(w http.ResponseWriter, r *http.Request) {
	who, _ := identity.From(r.Context())
	writeJSON(w, http.StatusOK, invoicesOf(who.User))
}

func refundInvoice(w http.ResponseWriter, r *http.Request) {
	who, _ := identity.From(r.Context())
	for _, known := range invoicesOf(who.User) {
		if r.PathValue("id") == strconv.Itoa(known.ID) {
			writeJSON(w, http.StatusOK, refund{known.ID, true})
			return
		}
	}
	writeProblem(w, r, http.StatusNotFound, "There is no such invoice")
}
