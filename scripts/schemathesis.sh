#!/usr/bin/env bash
# schemathesis.sh BINARY EXAMPLES: sends requests that the OpenAPI document allows, and such that it does not, to every
# operation, with a key and without. No answer may be a 5xx or outside the document, and no route may write without a key.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. scripts/serve_for_tests.sh

binary=${1:-target/debug/llmops} examples=${2:-10}
python_venv schemathesis
trap stop_server EXIT
start_server "$binary"

# Events are a stream that does not end, and a WebSocket: tests of their own look at them.
run() {
  schemathesis run "$LLMOPS_URL/openapi.json" --max-examples "$examples" --seed 1 --workers 2 --no-shrink \
    --request-timeout 20 --exclude-operation-id stream_events --exclude-operation-id socket_events \
    --warnings off --continue-on-failure "$@"
}

step "schemathesis with an admin's key: $examples requests of each kind to every operation"
run --header "Authorization: Bearer $LLMOPS_API_KEY" --exclude-checks positive_data_acceptance

step "schemathesis without a key: nothing but refusals"
run --phases coverage,fuzzing --checks not_a_server_error,status_code_conformance,response_schema_conformance
python3 scripts/only_refusals.py

if grep -E 'panicked|internal error' "$server_folder/log"; then
  fail "the server's log tells of internal errors"
fi
