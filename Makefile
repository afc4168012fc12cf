# Every target is one or two commands that can also be run by hand; whatever needs thought is a Go program.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Packages with tests that need an API server.
INTEGRATION = $(shell grep -rl --include='*_test.go' --exclude-dir=e2e '^//go:build integration' . | xargs -r -n1 dirname | sort -u)

# One set of build flags for everything: images are built with these too, so nothing is compiled twice.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -buildvcs=false)

# The manifests name the version.
VERSION = $(shell awk '/newTag:/ { print $$2 }' manifests/base/kustomization.yaml)
IMAGE := cd e2e && go run ./cmd/image --dir ..

KUSTOMIZE := go tool -modfile=e2e/tools/kustomize/go.mod kustomize
GENERATE := go tool -modfile=e2e/tools/codegen/go.mod controller-gen object crd:maxDescLen=160,allowDangerousTypes=true paths=./api/...
CLUSTER_COMMAND := cd e2e && go run ./cmd/cluster

##@ The two commands to begin with

.PHONY: demo
demo: ## Roll out a good and a bad version under live traffic on a local cluster (needs root)
	@echo "Compiling the demo; the first time this takes a minute or two."
	cd e2e && go run ./cmd/demo

.PHONY: test
test: unit integration e2e ## Run all tests: unit, integration and end-to-end (needs root for the local cluster)

##@ Tests

.PHONY: unit
unit: ## Run the tests that need nothing but Go
	go test ./...
	cd e2e && go test ./...

.PHONY: integration
integration: manifests ## Run the tests that need an API server; the first time builds one, cert-manager and Helm
	assets="$$($(CLUSTER_COMMAND) bin kubernetes)"; certmanager="$$($(CLUSTER_COMMAND) bin certmanager)"; \
	helm="$$($(CLUSTER_COMMAND) bin helm)"; \
	KUBEBUILDER_ASSETS="$$assets" CERT_MANAGER="$$certmanager/certmanager" HELM="$$helm/helm" go test -count=1 -timeout=30m -tags=integration $(INTEGRATION)

.PHONY: e2e
e2e: manifests ## Run the user stories on a local cluster of their own, or on that of E2E_KUBECONFIG
	cd e2e && go test -count=1 -timeout=45m -tags=e2e -p=1 -v $(if $(E2E_KUBECONFIG),,./cluster/...) ./stories/...

.PHONY: e2e-takeover
e2e-takeover: manifests ## Take a cluster over from a running Flagger and give it back, on a local cluster of its own; the first time builds Flagger
	cd e2e && go test -count=1 -timeout=45m -tags=e2e -v ./takeover/...

.PHONY: e2e-istio
e2e-istio: ## Have istiod judge and serve routes, with gRPC clients as its data plane; the first time builds istiod, which takes minutes
	assets="$$($(CLUSTER_COMMAND) bin kubernetes)"; cd e2e && \
	KUBEBUILDER_ASSETS="$$assets" go test -count=1 -timeout=30m -tags=e2e,integration -v ./dataplanes

.PHONY: soak
soak: ## Play 200,000 random schedules of every strategy against the decision core; takes about ten minutes on two cores
	go test -count=1 -timeout=2h -v -run='^TestSchedules$$' ./reconciler/core/simulation -schedules=200000

.PHONY: mutants
mutants: ## Break each promise of the core on purpose and report the schedules that notice; takes about ten minutes
	go run ./reconciler/core/simulation/mutants

.PHONY: bench-admission
bench-admission: manifests ## Measure what admission costs on a local API server; prints a table, fails for counts and never for times
	cd e2e && go run ./cmd/bench-admission

.PHONY: bench-compare
bench-compare: ## Simulate comparisons of canary and primary; prints how often each method is wrong and right
	go test -run - -bench Studies -benchtime 1x -v ./analysis/compare

.PHONY: bench-fleet
bench-fleet: ## Measure a hundred Canaries at once on a local cluster with played pods, LIFECYCLE=ephemeral for the other lifecycle; prints tables, fails for counts and never for times
	cd e2e && go run ./cmd/bench-fleet -lifecycle $(or $(LIFECYCLE),persistent)

.PHONY: lint
lint: check-generated ## Check the style of all code with golangci-lint, and what is generated; the first time builds the tools
	lint="$$(go tool -n -modfile=e2e/tools/lint/go.mod golangci-lint)"; \
	"$$lint" run ./... && cd e2e && "$$lint" run ./...

.PHONY: fmt
fmt: ## Format all Go code
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

.PHONY: vet
vet: ## Vet all Go code, with the tests of every kind
	go vet -tags=integration ./...
	cd e2e && go vet -tags=e2e ./...

##@ Building

.PHONY: build
build: ## Build the binaries into bin/
	go build -o bin/ ./cmd/...

.PHONY: generate
generate: ## Generate deep copies and CRDs from the API types
	$(GENERATE) output:crd:dir=manifests/base/crds

.PHONY: check-generated
check-generated: ## Check that make generate has nothing to change
	@new="$$(mktemp -d)"; trap 'rm -rf "$$new"' EXIT; \
	$(GENERATE) output:object:dir="$$new/api" output:crd:dir="$$new/crds"; \
	diff -u api/v1beta1/zz_generated.deepcopy.go "$$new/api/zz_generated.deepcopy.go" && diff -ru manifests/base/crds "$$new/crds" || \
	{ echo 'what is generated from the API types is out of date: run make generate' >&2; exit 1; }

.PHONY: manifests
manifests: ## Render the manifests into dist/
	@mkdir -p dist
	$(KUSTOMIZE) build manifests/base -o dist/install.yaml
	$(KUSTOMIZE) build manifests/overlays/cert-manager -o dist/install-cert-manager.yaml
	$(KUSTOMIZE) build manifests/overlays/host-network -o dist/install-host-network.yaml
	$(KUSTOMIZE) build manifests/loadtester -o dist/loadtester.yaml

.PHONY: images
images: ## Build the container images into dist/, as archives for docker load or ctr images import
	@mkdir -p dist
	$(IMAGE) --reference ghcr.io/sluice-dev/sluice:$(VERSION) --package ./cmd/sluice --version $(VERSION) --output ../dist/sluice.tar
	$(IMAGE) --reference ghcr.io/sluice-dev/loadtester:$(VERSION) --package ./cmd/loadtester --version $(VERSION) --output ../dist/loadtester.tar

.PHONY: clean
clean: ## Remove what was built here; the cache of tools stays
	rm -rf bin dist

##@ Local cluster (several run side by side: make cluster-up CLUSTER=name)

.PHONY: cluster-up
cluster-up: ## Start a local Kubernetes; the first time builds it
	$(CLUSTER_COMMAND) up

.PHONY: cluster-down
cluster-down: ## Stop the cluster and remove all traces of it
	$(CLUSTER_COMMAND) down

.PHONY: cluster-status
cluster-status: ## Show how the cluster is
	$(CLUSTER_COMMAND) status

.PHONY: cluster-kubeconfig
cluster-kubeconfig: ## Print the path of the cluster's kubeconfig
	@$(CLUSTER_COMMAND) kubeconfig

.PHONY: cluster-load
cluster-load: images ## Load the project's images into the cluster
	$(CLUSTER_COMMAND) load-image ../dist/sluice.tar ../dist/loadtester.tar

.PHONY: demo-down
demo-down: ## Remove the demo's cluster
	cd e2e && go run ./cmd/demo -down

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
