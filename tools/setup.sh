#!/usr/bin/env bash
# Installs what building fleetlog needs and this machine lacks, or says what it needs when it may not install.
# RocksDB's bindings are generated at build time, which needs libclang with its headers and a C++ compiler.
set -eu
cd "$(dirname "$0")/.."
fail() { echo "fleetlog: $*" >&2; exit 1; }

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | sed -n 1p)
command -v cargo >/dev/null && command -v rustc >/dev/null || fail "a Rust toolchain ($wanted or newer) is needed: see https://rustup.rs"
found=$(rustc --version | cut -d' ' -f2)
oldest=$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | sed -n 1p)
[ "$oldest" = "$wanted" ] || fail "Rust $wanted or newer is needed, this is $found: rustup update"

# A minimal rustup profile has neither.
components=()
cargo fmt --version >/dev/null 2>&1 || components+=(rustfmt)
cargo clippy --version >/dev/null 2>&1 || components+=(clippy)
if [ ${#components[@]} -ne 0 ]; then
  echo "fleetlog needs these parts of the Rust toolchain: ${components[*]}"
  command -v rustup >/dev/null || fail "install them as this toolchain's packages: ${components[*]}"
  rustup component add "${components[@]}" || fail "install them first:  rustup component add ${components[*]}"
fi

missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v ccache >/dev/null || missing+=(ccache)
has_libclang() { compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null && compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null; }
[ -n "${LIBCLANG_PATH:-}" ] || has_libclang || missing+=(libclang-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

echo "fleetlog needs these packages to build: ${missing[*]}"
command -v apt-get >/dev/null || fail "this is not Debian or Ubuntu: install their equivalents (a C++ compiler, ccache, libclang with headers)"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null && sudo -n true 2>/dev/null || fail "install them first:  sudo apt-get install ${missing[*]}"
  as_root=(sudo -n)
fi
install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}")
"${as_root[@]}" apt-get update -qq && "${as_root[@]}" "${install[@]}" >/dev/null || fail "they could not be installed: apt-get install ${missing[*]}"
