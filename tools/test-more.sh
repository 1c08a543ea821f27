#!/usr/bin/env bash
# make test-more: the proofs that take longer: two hundred kills, the models with more cases from other seeds, and that RocksDB
# is compiled once.
set -euo pipefail

# Runs tests of the library; at least so many must have run, so that a test of another name is missed. LEAST WORDS...
ran() {
  local least=$1 passed
  shift
  passed=$(cargo test -p fleetlog --all-features "$@" | tee >(cat >&2) | awk '/^test result: ok/ {sum += $4} END {print sum + 0}')
  [ "$passed" -ge "$least" ] || { echo "test-more: $passed of $least tests ran: $*" >&2; exit 1; }
}

ran 1 --test kill -- --ignored --exact acknowledged_commits_survive_two_hundred_kills
for seed in ${SEEDS:-1 2 3}; do
  PROPTEST_RNG_SEED=$seed PROPTEST_CASES=${PROPTEST_CASES:-1500} ran 2 --test store_model --test query_model
done

# The laws of the codecs under every instruction of this machine, which the compiler then uses in the portable kernels too. Of the library alone: with
# RUSTFLAGS, RocksDB's build would take them over, and compile for 24 CPU-minutes.
laws=$(cargo rustc -p fleetlog --all-features --lib --profile test --message-format=json -- -C target-cpu=native |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
passed=$("$laws" codec:: | tee >(cat >&2) | awk '/^test result: ok/ {print $4}')
[ "${passed:-0}" -ge 60 ] || { echo "test-more: $passed of 60 laws of the codecs hold under target-cpu=native" >&2; exit 1; }

tools/check-rocksdb-once.sh
