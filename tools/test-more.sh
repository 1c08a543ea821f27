#!/usr/bin/env bash
# make test-more: the proofs that take longer: two hundred kills, and the models with more cases from other seeds.
set -eu
cargo test -p fleetlog --all-features --test kill -- --ignored acknowledged_commits_survive_two_hundred_kills
for seed in ${SEEDS:-1 2 3}; do
  PROPTEST_RNG_SEED=$seed PROPTEST_CASES=${PROPTEST_CASES:-1500} \
    cargo test -p fleetlog --all-features --test store_model --test query_model
done
