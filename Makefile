# The two commands of the README are `make demo` and `make test`; each does all of its own set-up.
#
# RocksDB takes some 24 CPU-minutes to compile. It is compiled once for demo, tests, benches and CI together: one target
# folder outside the checkout, one optimisation level for it in every profile (Cargo.toml), and ccache as the C++ compiler's
# launcher, so that another profile or another clone finds it compiled.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

FLEETLOG_CACHE ?= $(HOME)/.cache/fleetlog
export CARGO_TARGET_DIR ?= $(FLEETLOG_CACHE)/target
export CCACHE_DIR ?= $(FLEETLOG_CACHE)/ccache
# Always the same words, from the first build on: another CC would compile RocksDB again. `make setup` installs ccache.
export CC := ccache gcc
export CXX := ccache g++

DEMO_DIR ?= $(FLEETLOG_CACHE)/demo
# Real telemetry, where it is present beside the checkout; a relative path begins at the checkout.
FLEETLOG_DATA ?= ../shared/data
export FLEETLOG_DATA

CARGO := cargo
BIN = $(CARGO_TARGET_DIR)/release

.PHONY: help setup demo test test-more lint coverage deny bench bench-peers scale figures clean-demo

help:  ## lists the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup:  ## installs what a build needs and this machine lacks
	@tools/setup.sh

demo: setup  ## a fleet-year: generated, imported, queried, dumped; then real telemetry where present
	@$(CARGO) build --release -p fleetlog-cli -p fleetgen
	@BIN=$(BIN) DEMO_DIR=$(DEMO_DIR) tools/demo.sh

test: setup  ## the tests that every change must pass (15 minutes at most once RocksDB is built)
	@tools/test.sh

test-more: setup  ## the longer proofs: 200 kills, more property cases, codecs for this machine, RocksDB compiled once (45 minutes at most)
	@tools/test-more.sh

lint: setup  ## formatting and clippy, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-features --all-targets -- -D warnings

coverage: setup  ## line coverage by cargo tarpaulin; fails under 90%
	@command -v cargo-tarpaulin >/dev/null || $(CARGO) install --locked cargo-tarpaulin
	$(CARGO) tarpaulin --config tarpaulin.toml

deny: setup  ## advisories and licences of the dependencies, by cargo-deny
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --all-features check advisories licenses

bench: setup  ## criterion benches: write, seal, import, scan, trend, codecs
	$(CARGO) bench --workspace --all-features

PEERS ?=
bench-peers: setup  ## beside DuckDB, chDB, Polars, DataFusion (PEERS="--devices 10 --days 30" in two minutes)
	$(CARGO) build --release -p fleetlog-cli --bin fleetlog --example durable_batch
	@FLEETLOG_CACHE=$(FLEETLOG_CACHE) PYTHONDONTWRITEBYTECODE=1 python3 tools/peers $(PEERS)

SCALE ?=
scale: setup  ## how time and memory grow with the fleet (SCALE="--sizes 100x30,300x30" in two minutes)
	$(CARGO) build --release -p fleetlog-cli -p fleetgen
	@FLEETLOG_CACHE=$(FLEETLOG_CACHE) PYTHONDONTWRITEBYTECODE=1 python3 tools/scale $(SCALE)

figures: setup  ## measures the figures that the README states
	$(CARGO) build --release -p fleetlog-cli -p fleetgen
	@BIN=$(BIN) tools/figures.sh

clean-demo:  ## removes what the demo made
	rm -rf $(DEMO_DIR)
