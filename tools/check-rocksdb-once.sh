#!/usr/bin/env bash
# RocksDB is compiled once: neither the next command nor another profile nor another clone compiles its C++ again.
# In the target folder as it is, a second build says Fresh; in a new one (another clone) ccache has every object file already.
set -euo pipefail
cd "$(dirname "$0")/.."
# What `make test` builds: Fresh here, and of one optimisation level in every profile.
cargo build --quiet --workspace --all-features
said=$(cargo build -v --workspace --all-features 2>&1)
grep -q 'Fresh librocksdb-sys' <<<"$said" || { echo "the second build compiles RocksDB again" >&2; exit 1; }

# The object files depend on RocksDB, the compiler and its flags, not on where they are built.
version=$(awk -F'"' '/^name = "librocksdb-sys"/ {getline; print $2}' Cargo.lock)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for profile in ${PROFILES:-dev release}; do
  started=$SECONDS
  # A line `# FILE` for each file that was asked for, then what ccache did.
  CCACHE_STATSLOG=$folder/$profile.log CARGO_TARGET_DIR=$folder cargo build --quiet --profile "$profile" -p librocksdb-sys
  missed=$(awk '/^# / {file = $2} $1 == "cache_miss" && file ~ /rocksdb\/.*\.cc$/ {print file}' "$folder/$profile.log" | sort -u)
  served=$(awk '/^# / {file = $2} /cache_hit$/ && file ~ /rocksdb\/.*\.cc$/ {hits[file]} END {print length(hits)}' "$folder/$profile.log")
  # compression.cc includes zstd's headers from the target folder, so that a new folder compiles this one file.
  missed=$(grep -vx 'rocksdb/util/compression.cc' <<<"$missed" || true)
  [ -z "$missed" ] || { echo "a new target folder ($profile) compiles again: $missed" >&2; exit 1; }
  [ "$served" -ge 200 ] || { echo "ccache served $served files of RocksDB ($profile): is it the compiler's launcher?" >&2; exit 1; }
  echo "RocksDB $version in a new target folder, $profile: $((SECONDS - started)) s, $served files from ccache"
done
