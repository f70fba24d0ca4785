#!/usr/bin/env bash
# What `make test` runs.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. scripts/services.sh

started=$SECONDS
scripts/lint.sh

step "Services"
trap stop_services EXIT
start_postgres
start_redis
find_minilm

if have node; then
  step "OpenFeature clients"
  scripts/clients/install.sh
fi

step "Tests"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --locked --workspace
  step "Documentation tests"
  cargo test --locked --workspace --doc --quiet
else
  cargo test --locked --workspace --quiet
fi

cargo build --locked -q -p llmops-cli
binary=${CARGO_TARGET_DIR:-target}/debug/llmops
step "A server on SQLite, killed under load"
python3 scripts/kill_writes.py "$binary" 20
scripts/ecosystem.sh "$binary" quick
step "What the documentation says, and its site"
python3 scripts/docs.py "$binary"
scripts/docs_site.sh "$binary"

printf '\nAll passed in %d min %d s.\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
