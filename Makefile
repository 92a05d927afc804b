# vilogate: `make help` lists what there is.

GO       ?= go
FUZZTIME ?= 30s
CORPUS   ?= 1000000
WIRE     ?= 20000
CHAOS    ?= 5m
SEED     ?= 1
BENCH    ?= .
COUNT    ?= 5
ZONE     ?= viloforge.com

# The tools live in a module of their own, so that the product's stays small.
TOOL  := $(GO) tool -modfile=deploy/tools/go.mod
TESTS := $(TOOL) gotestsum --format pkgname --format-hide-empty-pkg -- -vet=off -timeout 40m -parallel 8

# Without paths, tests, tools and releases share what is compiled.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)

.DEFAULT_GOAL := help
.PHONY: help dev dev-cert build test lint bench chaos fuzz up check-deploy prerequisites

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: build ## Build and run the whole system on this machine: gateway, IdP, three backends
	@exec ./bin/vilogate dev $(if $(DOMAIN),--domain $(DOMAIN) --state .vilogate-$(DOMAIN)) $(ARGS)

dev-cert: build ## A certificate for dev: of PROJECT with CLOUDFLARE_API_TOKEN set, else the local CA's
	@exec ./bin/vilogate cert dev $(if $(PROJECT),--project $(PROJECT) --zone $(ZONE)) $(ARGS)

build: ## Build the one static binary, bin/vilogate
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/vilogate ./cmd/vilogate

test: prerequisites ## Run all the tests, against real parts (`make lint` vets them)
	@status=0; \
	$(TESTS) -race -p 4 $$($(GO) list ./... | grep -v /cmd/vilogate$$) || status=1; \
	VILOGATE_RACE=1 $(TESTS) ./cmd/vilogate || status=1; exit $$status

lint: ## gofumpt, go vet, staticcheck, deadcode, and a tidy go.mod
	@files=$$($(TOOL) gofumpt -l cmd gateway idp policies upstreams); test -z "$$files" || { echo "gofumpt would change:"; echo "$$files"; exit 1; }
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	@dead=$$($(TOOL) deadcode -test ./...) || exit 1; test -z "$$dead" || { echo "nobody calls:"; echo "$$dead"; exit 1; }
	$(GO) mod tidy -diff

bench: ## Run the benchmarks (BENCH=regexp COUNT=n), then the whole gateway against a plain proxy
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./gateway/... ./idp/... ./policies/...

chaos: prerequisites ## A fleet under load in which everything is killed, stopped, cut off and filled up for CHAOS, in the order of SEED
	VILOGATE_CHAOS=$(CHAOS) VILOGATE_CHAOS_SEED=$(SEED) $(GO) test -count 1 -timeout 2h -v -run TestChaos ./cmd/vilogate

fuzz: ## Fuzz every parser for FUZZTIME each, then CORPUS hostile messages in one process and WIRE of them on the real binary
	@for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "== $$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
	  done; \
	done
	VILOGATE_CORPUS=$(CORPUS) $(GO) test -count 1 -timeout 2h -run 'TestRequestsAreReadAsNetHTTPReadsThem|TestWhatIsForwardedIsWhatWasDecided' ./gateway/internal/http1 ./gateway
	VILOGATE_CORPUS=$(WIRE) $(GO) test -count 1 -timeout 1h -run TestBackendsReceiveWhatWasDecided ./cmd/vilogate

up: build deploy/.env ## Run the containers: gateway, IdP, Redis and three backends
	docker compose -f deploy/compose.yaml up --build

deploy/.env: # what gateway and IdP share
	@umask 077; echo "VILOGATE_SECRET=$$(head -c 36 /dev/urandom | base64)" > $@

check-deploy: build ## Check deploy/: configurations, units, image, as far as the tools are here
	sh deploy/check.sh

prerequisites:
	@sh deploy/tools/prerequisites.sh
