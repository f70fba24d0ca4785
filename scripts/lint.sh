#!/usr/bin/env bash
# Format and clippy. Warnings are errors.
set -euo pipefail
. "$(dirname "$0")/common.sh"

check_format
step "Clippy"
cargo clippy --locked --workspace --all-targets -- -D warnings
