# The only interface of the project: `make` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.SHELLFLAGS := -euc
MAKEFLAGS += --no-print-directory

UV := tools/bootstrap/uv.sh
RUN := $(UV) run --frozen --all-extras
PYTHON ?= python3
# The folder of a Go new enough to build the node; asked for only by the targets that need it.
WITH_GO = PATH="$$(tools/bootstrap/go.sh):$$PATH"
# Options of a bench: --tries N, --check, --trace, --major M.
BENCH ?=
# Test processes of the cluster tests that run side by side.
WORKERS ?= 4

.PHONY: help demo demo-clean test test-fast test-unit test-postgres test-apiserver test-packaging test-cluster
.PHONY: check check-python check-layers check-files check-workflows check-rendered check-imports
.PHONY: format render sbom bootstrap cluster-up cluster-down images bench bench-gate bench-locks

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## A release held until its database is migrated, on a real node, before your eyes
	@$(WITH_GO) $(PYTHON) -m tools.demo run

demo-clean: ## Remove the demo, Locktender and the node it ran on
	@$(PYTHON) -m tools.demo clean

test: ## Every check and every test, with a summary; brings the node up itself
	@$(WITH_GO) $(PYTHON) -m tools.suite

test-fast: ## The unit tests, in seconds
	@$(RUN) pytest tests/unit -q

test-unit: ## The unit tests on each supported Python of this machine
	@$(PYTHON) -m tools.suite.pythons

test-postgres: ## The Job side against real PostgreSQL servers 14 to 18
	@$(WITH_GO) $(RUN) pytest tests/postgres -m postgres

test-apiserver: ## CRDs, gate and controller against a real API server
	@$(WITH_GO) $(RUN) pytest tests/apiserver -m apiserver -n 3 --dist loadfile

test-packaging: ## Chart, install file and images
	@$(WITH_GO) $(RUN) pytest tests/packaging -m packaging

test-cluster: cluster-up ## The whole on a real node: real kubelet, real pods, real databases
	@$(WITH_GO) $(PYTHON) -m tools.suite.cluster --workers $(WORKERS)

check: check-python check-layers check-files check-workflows check-rendered check-imports ## Lint, types, layers, rendered files up to date

check-python:
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) mypy --explicit-package-bases tools

check-layers:
	@$(RUN) lint-imports

check-files:
	@git ls-files -co --exclude-standard -- '*.sh' .ci/run | xargs $(RUN) shellcheck
	@git ls-files -co --exclude-standard -- '*Dockerfile*' | xargs $(RUN) hadolint
	@$(RUN) yamllint --strict .

check-workflows:
	@$(RUN) zizmor --offline --quiet --persona=pedantic .github/workflows
	@$(WITH_GO) $(PYTHON) -m tools.checks

check-rendered:
	@$(RUN) python -m tools.render.render --check
	@$(RUN) python -m tools.docs.reference --check

check-imports:
	@test ! -e operator/__init__.py || { echo "operator/__init__.py shadows the standard library: remove it" >&2; exit 1; }
	@$(PYTHON) -m tools.suite.pythons --imports

format: ## Format the Python files and mend what ruff can mend
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

render: ## Render the files that are made from others (CRDs in the chart, deploy/install.yaml, docs/reference)
	@$(RUN) python -m tools.render.render
	@$(RUN) python -m tools.docs.reference

sbom: ## List what the images are made of: CycloneDX, out of the lock file, in build/sbom
	@$(PYTHON) -m tools.sbom

bootstrap: ## Install the Debian packages and tools that a new machine lacks
	@tools/bootstrap/debian.sh
	@$(UV)
	@tools/bootstrap/go.sh >/dev/null

cluster-up: ## Start the node (or use LOCKTENDER_KUBECONFIG, or kind where Docker runs)
	@$(WITH_GO) $(PYTHON) -m tools.cluster up

cluster-down: ## Stop the node; leaves no process, mount, bridge or rule behind
	@$(PYTHON) -m tools.cluster down

bench: ## Every bench: prints tables, writes build/bench/NAME.json
	@$(WITH_GO) $(RUN) python -m tools.bench all

bench-gate: ## What the gate costs, beside a plain rollout, a bare Job and a Helm hook (BENCH="--tries 3 --check")
	@$(WITH_GO) $(PYTHON) -m tools.bench gate $(BENCH)

bench-locks: ## How long a migration makes users wait, with the agent and without (BENCH="--tries 14 --major 16 --check")
	@$(RUN) python -m tools.bench locks $(BENCH)

images: ## Build the images of Locktender and of the tests, and load them into the node
	@$(WITH_GO) $(PYTHON) -m tools.cluster images
