# packnback: everything a person or a build machine runs. `make help` lists it.
#
# One target directory and one profile (release) for build, tests, lints and demo, so that RocksDB is compiled once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
export CARGO_TARGET_DIR ?= $(HOME)/.cache/packnback-target
BIN := $(CARGO_TARGET_DIR)/release
# A cold target folder takes a compiled RocksDB where one is kept; a warm one stays as it is.
KEPT := eval "$$($(ROOT)/scripts/rocksdb-kept env)"
CARGO := cd $(ROOT) && $(KEPT) && cargo
# The whole workspace, so that crates are compiled with the same features as by the tests.
PROGRAMS := --release --locked --workspace --bins

.PHONY: help
help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(ROOT)/Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

.PHONY: setup
setup: ## install the system packages a build needs (names them if it may not)
	@$(ROOT)/scripts/setup build test

.PHONY: build
build: setup ## build packnback, packnback-node and packnback-stage
	@$(CARGO) build $(PROGRAMS)
	$(ROOT)/scripts/rocksdb-kept save

.PHONY: test
test: build ## build, then run every test
	@$(ROOT)/scripts/run-tests

.PHONY: demo
demo: build ## three nodes, one lost machine, everything back (DIR=folder to use your own)
	@PATH="$(BIN):$$PATH" $(BIN)/packnback demo $(DIR)

.PHONY: drill
drill: build ## a laptop is taken over: everything an attacker can try, and what is left
	@PATH="$(BIN):$$PATH" $(BIN)/packnback drill ransomware

.PHONY: drill-friend
drill-friend: build ## a friend goes bad: what it can do to its host and to others
	@PATH="$(BIN):$$PATH" $(BIN)/packnback drill hostile-friend

.PHONY: clean-demo
clean-demo: ## remove what an interrupted demo or drill left behind
	@$(ROOT)/scripts/clean-demo

.PHONY: lint
lint: setup ## formatting, clippy, docs, dependency rules
	@$(CARGO) fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --release --locked --workspace --no-deps --document-private-items --quiet
	$(ROOT)/scripts/check-deps

.PHONY: bench
bench: build ## measure against restic and borg (slow; see bench/README.md)
	@$(ROOT)/scripts/setup bench
	$(ROOT)/bench/run.sh

.PHONY: bench-prune
bench-prune: build ## measure forgetting 970 of 1,000 snapshots (hours; SNAPS=40 FILES=2000 for minutes)
	@$(ROOT)/scripts/setup bench
	SNAPS="$(or $(SNAPS),1000)" FILES="$(or $(FILES),20000)" $(ROOT)/bench/prune.sh

.PHONY: bench-growth
bench-growth: build ## measure how a first backup grows: to 1,000,000 files, to 30 GB (root, 70 GB of disk; ARGS="--gb 1,10")
	@$(ROOT)/scripts/setup bench
	PATH="$(BIN):$$PATH" $(ROOT)/bench/growth $(ARGS)

.PHONY: kill-test
kill-test: build ## kill -9 the cli or a node at N random moments (N=100, SEED=1)
	@$(ROOT)/scripts/kill-test "$(or $(N),100)" "$(or $(SEED),1)"

.PHONY: idle-check
idle-check: build ## what nodes cost while nothing happens, in each role (FOR=60 seconds)
	@$(ROOT)/scripts/idle-check "$(or $(FOR),60)"

.PHONY: fuzz-short
fuzz-short: setup ## more cases for every decoder property (CASES=20000)
	@cd $(ROOT) && $(KEPT)
	PROPTEST_CASES="$(or $(CASES),20000)" cargo test --release --locked -p packnback-proto

.PHONY: vectors
vectors: setup ## check the golden vectors in testdata/vectors against the code
	@$(CARGO) test --release --locked -p packnback-proto vector

.PHONY: reader-check
reader-check: build ## an independent reader in Python: golden vectors, and a real backup
	@$(ROOT)/scripts/setup reader
	PATH="$(BIN):$$PATH" $(ROOT)/testdata/reader/check.sh

.PHONY: model
model: setup ## random interleavings with collection and crashes (RUNS=100000, SEED=1)
	@cd $(ROOT) && $(KEPT)
	PACKNBACK_MODEL_RUNS="$(or $(RUNS),100000)" PACKNBACK_MODEL_SEED="$(or $(SEED),1)" cargo test --release --locked -p packnback-node --lib model

.PHONY: mutations
mutations: setup ## take each guard out in turn and see its test fail (slow; ONLY=text)
	@$(KEPT)
	$(ROOT)/scripts/mutation-check --only "$(ONLY)"

.PHONY: sim
sim: build ## real nodes in a simulated month (SEEDS=how many, SEED=first, SCENARIO=month or smoke)
	@$(BIN)/packnback-sim $(or $(SCENARIO),month) --seed $(or $(SEED),1) --runs $(or $(SEEDS),$(RUNS),20)

.PHONY: sim-faults
sim-faults: setup ## put known faults back by hand and see the simulation find each (slow)
	@$(ROOT)/scripts/mutation-check --file $(ROOT)/scripts/sim-faults.txt

.PHONY: docker-sim
docker-sim: build ## three nodes in containers, a backup between them
	@$(ROOT)/scripts/setup docker
	$(ROOT)/docker/sim.sh

.PHONY: release-check
release-check: ## may this tree be released as VERSION=X.Y.Z? (docs/releasing.md; ends with the whole of make ci)
	@$(ROOT)/scripts/release-check $(VERSION)
	$(ROOT)/scripts/check-deps
	$(ROOT)/.ci/run

.PHONY: ci
ci: ## what the build machine runs
	@$(ROOT)/.ci/run
