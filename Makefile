# The one door: what a person types, and what CI runs.
#
# Built files live outside the tree, so that several checkouts share them; an exported CARGO_TARGET_DIR is respected.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fornada
export CARGO_TARGET_DIR ?= $(CACHE)/target

PYTHON ?= python3
# One environment for each set of requirements and Python, so that a change of either makes a new one.
VENV := $(CACHE)/venv-$(shell { $(PYTHON) --version; cat tests/requirements.txt; } | sha256sum | cut -c1-12)
# The same for the packages of the JavaScript test.
JAVASCRIPT := $(CACHE)/javascript-$(shell sha256sum < tests/javascript/package-lock.json | cut -c1-12)

# An earlier release, for the tests of upgrades, built once from the history.
EARLIER_COMMIT := 639dc2642a1f551355b5123885f71c8d73d99376
EARLIER := $(CACHE)/earlier-$(EARLIER_COMMIT)

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10 | sed 's/^/  make /'

run: release ## run the example workloads through a fresh server and check the results
	$(PYTHON) examples/run "$(CARGO_TARGET_DIR)/release/fornada"

up: release ## start a server to keep (ARGS="--listen 127.0.0.1:9000" and so on)
	"$(CARGO_TARGET_DIR)/release/fornada" up $(ARGS)

build: ## build for development
	cargo build --bin fornada

release: ## build for use
	cargo build --release --bin fornada

lint: ## formatting, lints, and that the generated code is what the models say
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask codegen --check

test: lint earlier $(VENV)/ready $(JAVASCRIPT)/ready ## everything that CI runs: lints, unit, property and black-box tests (PYTEST="-k arrays")
	cargo test --workspace
	cargo build --bin fornada
	FORNADA_BIN="$(CARGO_TARGET_DIR)/debug/fornada" FORNADA_JAVASCRIPT="$(JAVASCRIPT)" FORNADA_EARLIER="$(EARLIER)/fornada" \
		"$(VENV)/bin/python" -m pytest tests $(PYTEST)

crash: $(VENV)/ready ## SIGKILL a build at random moments and check that nothing is lost (KILLS=2000 FORNADA_SEED=1)
	cargo build --bin fornada
	cd tests && FORNADA_BIN="$(CARGO_TARGET_DIR)/debug/fornada" "$(VENV)/bin/python" -m crash --kills $(or $(KILLS),2000)

# In the same target folder, so that dependencies are reused; cargo leaves the program where that of this tree belongs.
earlier: ## build the earlier release that tests of upgrades begin with, if the history has it
	if [ -x "$(EARLIER)/fornada" ]; then \
		exit; \
	elif ! git cat-file -e "$(EARLIER_COMMIT)^{commit}" 2> /dev/null; then \
		echo "tests of upgrades are skipped: commit $(EARLIER_COMMIT) is not in the history of this clone"; \
	else \
		rm -rf "$(EARLIER)"; \
		mkdir -p "$(EARLIER)/source"; \
		git archive "$(EARLIER_COMMIT)" | tar --extract --directory "$(EARLIER)/source"; \
		(cd "$(EARLIER)/source" && CARGO_INCREMENTAL=0 cargo build --bin fornada); \
		cp "$(CARGO_TARGET_DIR)/debug/fornada" "$(EARLIER)/fornada.new"; \
		rm -rf "$(EARLIER)/source"; \
		mv "$(EARLIER)/fornada.new" "$(EARLIER)/fornada"; \
	fi

dev: ## format and generate, then test
	cargo fmt --all
	cargo xtask codegen
	$(MAKE) test

clients: $(VENV)/ready ## drive a build with workflow clients from PyPI, unmodified (ONLY=metaflow: one of them)
	cargo build --bin fornada
	"$(VENV)/bin/python" clients/run "$(CARGO_TARGET_DIR)/debug/fornada" $(ONLY)

clients-quick: ## the quickest of them
	$(MAKE) clients ONLY="redun parallelcluster"

bench: release $(VENV)/ready ## measure a release build, write docs/benchmarks.md (ONLY=latency: one part, print only)
	"$(VENV)/bin/python" bench/bench.py "$(CARGO_TARGET_DIR)/release/fornada" $(ONLY)

soak: release $(VENV)/ready ## short jobs for a long time, and whether anything grows (MINUTES=60 JOBS_A_MINUTE=10000 ARGS="--listen …")
	"$(VENV)/bin/python" bench/soak.py "$(CARGO_TARGET_DIR)/release/fornada" --minutes $(or $(MINUTES),60) \
		--jobs-a-minute $(or $(JOBS_A_MINUTE),10000) -- $(ARGS)

sim: ## simulate faults from SEEDS=10000 seeds on, starting at FROM=1
	FORNADA_SEEDS=$(or $(SEEDS),10000) FORNADA_FROM=$(or $(FROM),1) \
		cargo test --profile sim -p fornada-sim --test faults many -- --ignored --nocapture

deny: ## licences, advisories, duplicates and sources of all dependencies (needs cargo-deny)
	cargo deny check

clean: ## remove what was built and what the examples wrote
	cargo clean
	rm -rf out

$(VENV)/ready: tests/requirements.txt
	rm -rf "$(VENV)"
	$(PYTHON) -m venv "$(VENV)"
	"$(VENV)/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch "$@"

$(JAVASCRIPT)/ready: tests/javascript/package-lock.json
	rm -rf "$(JAVASCRIPT)"
	mkdir -p "$(JAVASCRIPT)"
	cp tests/javascript/package.json tests/javascript/package-lock.json "$(JAVASCRIPT)"
	npm ci --prefix "$(JAVASCRIPT)" --ignore-scripts --no-audit --no-fund --silent
	touch "$@"

.PHONY: help run up build release lint test crash earlier dev clients clients-quick bench soak sim deny clean
