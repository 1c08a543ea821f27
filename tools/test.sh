#!/usr/bin/env bash
# make test: formatting, lints, all tests with and without features, doc tests, the scripts.
set -eu
cargo fmt --all --check
cargo clippy --workspace --all-features --all-targets -- -D warnings
# Embedding builds the engine alone, or with one feature: each must compile by itself.
for feature in "" import parquet payload; do
  cargo clippy -p fleetlog --no-default-features --features "$feature" -- -D warnings
done
if command -v cargo-nextest >/dev/null; then
  cargo nextest run --workspace --all-features
else
  cargo test --workspace --all-features --lib --bins --tests
fi
cargo test --workspace --all-features --doc
# The README's first command, on a small fleet; and what the set-up says where something is missing.
cargo build --workspace --all-features --bins
BIN=${CARGO_TARGET_DIR:-target}/debug tools/test-demo.sh
tools/test-setup.sh
# The comparison with other engines: its arithmetic, which needs Python alone.
if command -v python3 >/dev/null; then
  PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover --quiet -s tools/peers
  PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover --quiet -s tools/scale
fi
