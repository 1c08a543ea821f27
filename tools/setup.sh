#!/usr/bin/env bash
# Installs what building fleetlog needs and this machine lacks, or says what it needs when it may not install.
# RocksDB's bindings are generated at build time, which needs libclang with its headers and a C++ compiler.
set -eu

command -v cargo >/dev/null || {
  echo "fleetlog needs a Rust toolchain (1.95 or newer): see rust-lang.org for rustup" >&2
  exit 1
}

missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v ccache >/dev/null || missing+=(ccache)
has_libclang() { compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null && compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null; }
[ -n "${LIBCLANG_PATH:-}" ] || has_libclang || missing+=(libclang-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

echo "fleetlog needs these packages to build: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo -n); else
    echo "install them first:  sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
command -v apt-get >/dev/null || {
  echo "this is not Debian or Ubuntu: install their equivalents (a C++ compiler, ccache, libclang with headers)" >&2
  exit 1
}
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
