#!/usr/bin/env bash
# make test-more: the proofs that take longer; the same tests with more cases, and those marked as long.
set -eu
export FLEETLOG_LONG=1 PROPTEST_CASES="${PROPTEST_CASES:-2000}"
if command -v cargo-nextest >/dev/null; then
  cargo nextest run --workspace --all-features --run-ignored ignored-only
else
  cargo test --workspace --all-features --lib --bins --tests -- --ignored
fi
