#!/usr/bin/env bash
# What `make test` runs.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. scripts/services.sh

started=$SECONDS
check_format

step "Services"
trap stop_services EXIT
start_postgres
start_redis
find_minilm

if have node; then
  step "OpenFeature clients"
  scripts/clients/install.sh
fi

step "Clippy and build"
# For all that is built from here on, so that it is built once. What makes the next build faster makes the first one slower.
export RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/clippy-rustc CARGO_INCREMENTAL=0
cargo test --locked --workspace --all-targets --no-run

step "Tests"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --locked --workspace
  step "Documentation tests"
  cargo test --locked --workspace --doc --quiet
else
  cargo test --locked --workspace --quiet
fi

# The tests of the command have built it.
binary=${CARGO_TARGET_DIR:-target}/debug/llmops
step "A server on SQLite, killed under load"
python3 scripts/kill_writes.py "$binary" 20
scripts/ecosystem.sh "$binary" quick
step "What the documentation says, and its site"
python3 scripts/docs.py "$binary"
scripts/docs_site.sh "$binary"

printf '\nAll passed in %d min %d s.\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
