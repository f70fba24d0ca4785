#!/usr/bin/env bash
# Checks the tools that building and testing need; installs the missing ones where it can.
set -euo pipefail
. "$(dirname "$0")/common.sh"

min_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

have cargo || fail "there is no cargo: install Rust $min_rust or newer from https://rustup.rs"
rust=$(rustc --version | cut -d' ' -f2)
oldest=$(printf '%s\n%s\n' "$min_rust" "$rust" | sort -V | head -n 1)
[ "$oldest" = "$min_rust" ] || fail "Rust $rust is too old: $min_rust or newer is needed (rustup update stable)"

# SQLite and the TLS library are compiled from C.
have cc || apt_install gcc "compiling SQLite"
echo '#include <stdlib.h>' | cc -E - >/dev/null 2>&1 || apt_install libc6-dev "compiling SQLite"

for component in rustfmt clippy; do
  cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 && continue
  have rustup || fail "cargo has no $component: install your distribution's package of it, or Rust from https://rustup.rs"
  rustup component add "$component"
done
