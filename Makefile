# shop-connect. `make` alone says what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := bin/shop-connect
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
# purchases that `make bench` moves through each flow
ROWS ?= 3000000
export SHOP_CONNECT_CACHE ?= $(CURDIR)/.cache
STREAMS := $(filter-out %_benthos_test.yaml,$(wildcard pipelines/*.yaml streams/*.yaml))
# no dependencies beyond those listed: Spark is in an environment of its own
AIRFLOW_ENV := airflow airflow/requirements.txt --no-deps --only-binary=:all:
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build install ## Start everything in a fresh directory, load 200,000 purchases, compare every layer
	$(BIN) demo

.PHONY: up
up: build install ## Run everything on this machine until Ctrl-C; the data stay in .shop
	$(BIN) up

# the days of `make spark`; the job's default is yesterday
DATE ?=
.PHONY: spark
spark: ## Run the daily Spark job against `make up`: DATE=2026-01-02, or MASTER=spark://…
	@set -a; . .shop/env; set +a; airflow/jobs/submit $(if $(MASTER),--master $(MASTER)) airflow/jobs/daily_job.py $(if $(DATE),--date $(DATE))

.PHONY: airflow
airflow: install/airflow ## Run Airflow on port 8090, beside `make up`, until Ctrl-C
	@$$(airflow/install $(AIRFLOW_ENV))/bin/python airflow/standalone.py

.PHONY: install/airflow
install/airflow: ## Fetch what Airflow needs, and Spark beside it, into .cache
	@airflow/install $(AIRFLOW_ENV) > /dev/null
	@airflow/jobs/install

.PHONY: generate/airflow
generate/airflow: ## Pin what Airflow needs, with hashes; needs uv
	cd airflow && uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header \
		--overrides requirements.overrides requirements.in -o requirements.txt

.PHONY: test/airflow
test/airflow: build install install/airflow ## The DAGs and the operator, on a real Airflow
	@$$(airflow/install $(AIRFLOW_ENV))/bin/python -m pytest airflow/tests

.PHONY: test
test: build install test/yaml test/licences test/compose test/spark test/airflow ## Everything that a change must pass: Go, YAML, end to end
	@test -d "$${ONLINE_RETAIL_DIR:-../shared/data/online-retail}" || echo "*** The Online Retail days are not here, their end-to-end test is SKIPPED: set ONLINE_RETAIL_DIR. ***"
	go vet ./...
	go test -timeout 30m $$(go list ./... | grep -v -e /internal/e2e$$ -e /internal/chaos$$)
	go test -timeout 30m ./internal/e2e
	go test -timeout 15m ./internal/chaos

.PHONY: test/yaml
test/yaml: build
	$(BIN) contract lint pipelines/contracts
	$(BIN) lint --skip-env-var-check $(STREAMS)
	$(BIN) test pipelines/... streams/...

# Needs Java 17, Maven and Python 3.11; what else it needs it fetches into .cache.
.PHONY: test/spark
test/spark: build install
	airflow/jobs/install
	SHOP_CONNECT_BINARY=$(abspath $(BIN)) $(SHOP_CONNECT_CACHE)/spark/python/bin/python -m pytest -q -p no:cacheprovider airflow/jobs/tests

# The one RCL file that Connect's free kafka bundle itself links is allowed; any other fails.
.PHONY: test/licences
test/licences:
	@./.ci/licences

.PHONY: test/compose
test/compose: ## Hold Compose file and Helm chart to what reads them; a module of its own
	cd compose/check && go vet ./... && go test ./...

.PHONY: licences
licences: ## List every module in the program with its licence; fails on RCL and AGPL
	@./.ci/licences report

.PHONY: sbom
sbom: build ## Write what the program consists of to bin/sbom.cdx.json (CycloneDX)
	@go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0 bin -json -licenses -output bin/sbom.cdx.json $(BIN)
	@echo bin/sbom.cdx.json

# Asks vuln.go.dev, so it is not part of `make test`, which must pass without the internet.
.PHONY: vulnerabilities
vulnerabilities: ## Look for known vulnerabilities in what is linked and called
	go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./cmd/shop-connect

# Tests fail where a committed file differs from what this writes.
.PHONY: generate
generate: build ## Write the texts that come from contracts, specs and metrics
	$(BIN) contract schema > pipelines/contracts/contract.schema.json
	$(BIN) contract reference pipelines/contracts > docs/contracts.md
	$(BIN) metrics > docs/metrics.md
	$(BIN) components > docs/components.md

.PHONY: lint
lint: ## Check Go and YAML style
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	$(GOLANGCI) run
	$(MAKE) --no-print-directory test/yaml

.PHONY: bench
bench: build install ## Measure each flow on this machine, against the bare libraries
	go run ./internal/bench -binary $(BIN) -rows $(ROWS)

.PHONY: chaos
chaos: build install ## Break everything under load, compare every layer; SEED=… replays, CHAOS=… adds flags
	$(BIN) chaos --seed $(or $(SEED),0) $(CHAOS)

.PHONY: chaos/long
chaos/long: build install ## The same until 500 processes were killed
	$(BIN) chaos --seed $(or $(SEED),0) --kills 500 $(CHAOS)

# purchases of the day that `make bench/spark` computes
SPARK_ROWS ?= 20000000
.PHONY: bench/spark
bench/spark: build install ## Measure the daily Spark job, and that history does not slow it
	airflow/jobs/install
	SHOP_CONNECT_BINARY=$(abspath $(BIN)) $(SHOP_CONNECT_CACHE)/spark/python/bin/python airflow/jobs/bench/daily_job.py $(SPARK_ROWS)

.PHONY: build
build: ## Build bin/shop-connect
	@mkdir -p bin
	go build -ldflags='-s -w -X github.com/shop-connect/shop-connect/internal/app.version=$(VERSION)' -o $(BIN) ./cmd/shop-connect

.PHONY: install
install: build ## Fetch what the embedded servers need and this machine lacks, into .cache
	@$(BIN) install

.PHONY: clean
clean: ## Remove the program and the data of `make up` and `make demo`; .cache stays
	rm -rf bin .shop .demo .chaos
