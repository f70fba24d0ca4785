#!/usr/bin/env bash
# What `make test-full` runs after `make test`: tests marked `#[ignore]` because they are long, the comparison with the
# Python packages whose numbers we claim to equal and with peers, and the audit of dependencies.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. scripts/services.sh

trap stop_services EXIT
start_postgres

step "Long tests"
cargo test --locked --workspace --release -- --ignored

python_venv
step "ROUGE against rouge_score: 5,000 fresh pairs, then speed"
python crates/metrics/tests/fixtures/generate_rouge.py --fuzz 5000
python crates/metrics/benches/rouge_vs_python.py

step "Fixtures of the statistics are what SciPy and statsmodels say"
python crates/stats/tests/fixtures/generate_basics.py |
  python scripts/same_numbers.py - crates/stats/tests/fixtures/basics.json

step "Cost of the engine, and promptfoo beside it"
cargo build --locked --release -p llmops-cli
python scripts/bench/engine.py
if have npm; then
  python scripts/bench/promptfoo.py
else
  echo "skipped: promptfoo comes from npm, which is not installed"
fi

step "Licences, advisories and sources of dependencies"
if have cargo-deny; then
  cargo deny check
else
  echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"
fi
