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

step "Tests"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --locked --workspace
  step "Documentation tests"
  cargo test --locked --workspace --doc --quiet
else
  cargo test --locked --workspace --quiet
fi

printf '\nAll passed in %d min %d s.\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
