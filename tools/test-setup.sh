#!/usr/bin/env bash
# What tools/setup.sh says and does where something is missing: its programs are replaced by stand-ins, nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "test-setup: $*" >&2; exit 1; }

stand_in() { printf '#!/bin/sh\n%s\n' "$2" >"$folder/$1" && chmod +x "$folder/$1"; }
# A machine that has everything but apt-get, rustup and sudo.
whole() {
  rm -f "$folder"/*
  for tool in env bash dirname sed cut sort true; do ln -s "$(type -P $tool)" "$folder/$tool"; done
  stand_in cargo 'exit 0'
  stand_in rustc 'echo "rustc 1.95.0 (0000000 2026-01-01)"'
  stand_in g++ 'exit 0'
  stand_in ccache 'exit 0'
  stand_in id 'echo 1000'
}
setup() { PATH=$folder LIBCLANG_PATH=/anywhere tools/setup.sh 2>&1; }
refuses() { said=$(setup) && fail "it went on: $said"; [[ $said == *"$1"* ]] || fail "no '$1' in: $said"; }
agrees() { said=$(setup) || fail "it refused: $said"; [[ $said == *"$1"* ]] || fail "no '$1' in: $said"; }

whole; agrees ""
stand_in rustc 'echo "rustc 1.100.0-nightly (0000000 2027-01-01)"'; agrees ""
stand_in rustc 'echo "rustc 1.94.1 (0000000 2026-01-01)"'; refuses "1.95 or newer is needed, this is 1.94.1"
rm "$folder/cargo"; refuses "a Rust toolchain (1.95 or newer) is needed"
whole; stand_in cargo '[ "$1" != fmt ]'; refuses "rustfmt"
stand_in rustup 'echo "rustup $*"'; agrees "rustup component add rustfmt"
whole; stand_in cargo '[ "$1" != clippy ]'; stand_in rustup 'exit 1'; refuses "install them first:  rustup component add clippy"
whole; rm "$folder/ccache"; refuses "not Debian or Ubuntu"
stand_in apt-get 'echo "apt-get $*"'; refuses "install them first:  sudo apt-get install ccache"
stand_in sudo 'exit 1'; refuses "install them first:  sudo apt-get install ccache"
stand_in sudo 'shift; exec "$@"'; agrees "apt-get update"
stand_in apt-get 'exit 1'; refuses "could not be installed"
rm "$folder/sudo"; stand_in id 'echo 0'; stand_in apt-get 'echo "apt-get $*"'; agrees "needs these packages to build: ccache"
echo "test-setup: ok"
