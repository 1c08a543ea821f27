#!/usr/bin/env bash
# RocksDB is compiled once: neither the next command nor another profile nor another clone compiles its C++ again.
# In the target folder as it is, a second build says Fresh; in a new one (another clone) ccache has every object file already.
set -euo pipefail
cd "$(dirname "$0")/.."
misses() { ccache --print-stats | awk '$1 == "cache_miss" {print $2}'; }

for profile in dev release; do
  cargo build --quiet --profile $profile -p fleetlog --all-features
  said=$(cargo build -v --profile $profile -p fleetlog --all-features 2>&1)
  grep -q 'Fresh librocksdb-sys' <<<"$said" || { echo "the second build ($profile) compiles RocksDB again" >&2; exit 1; }
done

# The object files depend on RocksDB, the compiler and its flags, not on where they are built.
version=$(awk '/^name = "librocksdb-sys"/ {getline; gsub(/[^0-9.+a-z]|version/, ""); print}' Cargo.lock)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for profile in dev release; do
  before=$(misses)
  started=$SECONDS
  CARGO_TARGET_DIR=$folder cargo build --quiet --profile $profile -p librocksdb-sys
  compiled=$(($(misses) - before))
  [ "$compiled" -eq 0 ] || { echo "a new target folder ($profile) compiled $compiled files of RocksDB again" >&2; exit 1; }
  echo "RocksDB ($version) in a new target folder, $profile: $((SECONDS - started)) s, no file compiled again"
done
