#!/usr/bin/env bash
# What `make test-full` runs after `make test`: tests marked `#[ignore]` because they are long, the comparison with the
# Python packages whose numbers we claim to equal and with peers, and the audit of dependencies.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. scripts/services.sh

trap stop_services EXIT
start_postgres
start_redis
find_minilm

step "Long tests"
cargo test --locked --workspace --release -- --ignored

python_venv
step "ROUGE against rouge_score: 5,000 fresh pairs, then speed"
python crates/metrics/tests/fixtures/generate_rouge.py --fuzz 5000
python crates/metrics/benches/rouge_vs_python.py

# same NAME SCRIPT [ARGUMENT]: the committed fixture is what its generator prints.
same() {
  local fixture=$1
  shift
  python "$@" | python scripts/same_numbers.py - "$fixture" || fail "$fixture is not what $1 prints"
}

step "BLEU and chrF are what sacrebleu says"
same crates/metrics/tests/fixtures/sacrebleu.json crates/metrics/tests/fixtures/generate_sacrebleu.py --print

step "Statistics are what SciPy, statsmodels, scikit-learn, krippendorff and river say"
for topic in basics comparisons models; do
  same "crates/stats/tests/fixtures/$topic.json" "crates/stats/tests/fixtures/generate_$topic.py"
done

step "Experiments are what GrowthBook's engine says"
(
  python_venv gbstats
  same crates/stats/tests/fixtures/gbstats.json crates/stats/tests/fixtures/generate_gbstats.py
)

bertscore_venv
step "BERTScore: fixtures anew, then llmops beside bert_score"
.dev/venv-bertscore/bin/python crates/metrics/tests/fixtures/generate_bertscore.py --compare
cargo build --locked --release -p llmops-cli
.dev/venv-bertscore/bin/python scripts/bench/bertscore.py
step "A server on SQLite, killed 200 times under load"
cargo build --locked -p llmops-cli
python scripts/kill_writes.py "${CARGO_TARGET_DIR:-target}/debug/llmops" 200
scripts/schemathesis.sh "${CARGO_TARGET_DIR:-target}/debug/llmops" 100

step "Assignments against growthbook: 100,000 units x 20 experiments, one by one"
target=${CARGO_TARGET_DIR:-target}
python crates/domain/tests/fixtures/generate_assignments.py --against "$target/release/llmops"

step "Cost of the engine"
python scripts/bench/engine.py
step "Replicas and workers killed every five seconds, on PostgreSQL and Redis; PostgreSQL away for 20 s"
scripts/faults/run.sh replicas
env -u LLMOPS_TEST_POSTGRES scripts/faults/run.sh outage
step "The gateway: 10,000 calls to a provider that fails, a rollback on three replicas, PostgreSQL away for 60 s"
scripts/faults/run.sh gateway faults
scripts/faults/run.sh gateway rollback
env -u LLMOPS_TEST_POSTGRES scripts/faults/run.sh gateway outage
scripts/clients/gateway.sh "$target/release/llmops"
step "The gateway's load, beside the barest proxy"
cargo build --locked --release -p llmops-gateway --example bench
python scripts/bench/gateway.py || echo "a promise did not hold on this machine"

step "The dashboard's pages in a browser, and their data over a million records"
if have npm; then
  scripts/web.sh check
  scripts/web.sh test "$target/release/llmops"
else
  echo "skipped: the dashboard is tested with Node, which is not installed"
fi
python scripts/bench/dashboard.py "$target/release/llmops"

step "The ecosystem: Python client, DVC, MLflow, MCP, promptfoo"
scripts/ecosystem.sh "$target/release/llmops"

step "Deployment files, and the documentation's commands"
scripts/deploy_lint.sh
python3 scripts/docs.py "$target/release/llmops"
python3 scripts/sbom.py .dev/sbom.json

step "promptfoo beside it"
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
