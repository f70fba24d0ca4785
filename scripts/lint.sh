#!/usr/bin/env bash
# Format and clippy. Warnings are errors.
set -euo pipefail
. "$(dirname "$0")/common.sh"

step "Format"
cargo fmt --all --check || fail "run \`make fmt\`"

step "Clippy"
cargo clippy --locked --workspace --all-targets -- -D warnings
