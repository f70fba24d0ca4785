#!/usr/bin/env bash
# ecosystem.sh BINARY [quick]: llmops beside the tools that people use with it, as the real packages: the Python client and
# its types, DVC, MLflow, the MCP client, promptfoo. `quick` leaves out what needs large packages.
set -euo pipefail
. "$(dirname "$0")/common.sh"

binary=${1:?usage: ecosystem.sh BINARY [quick]} mode=${2:-all}
case $binary in /*) ;; *) binary=$PWD/$binary ;; esac
[ -x "$binary" ] || fail "$binary is not there: build it first"
export LLMOPS_BINARY=$binary
unset LLMOPS_SERVER LLMOPS_API_KEY LLMOPS_DATABASE_URL MLFLOW_TRACKING_URI

step "The Python client is what its generator writes from docs/openapi.json"
python3 sdk/python/generate.py --check

if [ "$mode" = quick ]; then
  python_venv sdk
  .dev/venv-sdk/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall sdk/python
  step "The Python client against a real server"
  (cd sdk/python && python -m pytest -q -p no:cacheprovider)
  exit
fi

python_venv ecosystem
.dev/venv-ecosystem/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall sdk/python
step "The Python client: types, then tests against a real server"
(cd sdk/python && mypy llmops && python -m pytest -q -p no:cacheprovider)

if have npm; then
  step "promptfoo, for the comparison of imported configurations"
  mkdir -p .dev/promptfoo
  cmp -s scripts/ecosystem/package.json .dev/promptfoo/package.json || {
    cp scripts/ecosystem/package.json .dev/promptfoo/package.json
    npm install --prefix .dev/promptfoo --no-audit --no-fund --silent || { rm .dev/promptfoo/package.json; fail "npm could not install promptfoo"; }
  }
fi

step "DVC, MLflow, MCP, promptfoo"
python -m pytest -q -p no:cacheprovider scripts/ecosystem
