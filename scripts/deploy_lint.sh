#!/usr/bin/env bash
# Checks what no test can run here: deployment files, workflows, units. Schemas come with the packages; nothing is fetched.
set -euo pipefail
. "$(dirname "$0")/common.sh"

python_venv lint
step "YAML of deployment files, examples and workflows"
yamllint --strict deploy examples .github action.yml

step "Schemas: Compose, GitHub, GitLab, Kubernetes"
check-jsonschema --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
check-jsonschema --builtin-schema vendor.github-workflows examples/ci/github-workflow.yml .github/workflows/ci.yml
check-jsonschema --builtin-schema vendor.github-actions action.yml
check-jsonschema --builtin-schema vendor.gitlab-ci examples/ci/gitlab-ci.yml
kubernetes-validate --strict deploy/kubernetes/{namespace,server,worker,network-policy,secret.example}.yaml
cmp deploy/compose/llmops.yaml deploy/kubernetes/llmops.yaml || fail "the two llmops.yaml of deploy/ differ"

if have systemd-analyze; then
  step "systemd units"
  units=$(mktemp -d)
  trap 'rm -rf "$units"' EXIT
  for unit in deploy/systemd/*.service; do
    # The program need not be installed to check the unit.
    sed 's#/usr/local/bin/llmops#/bin/true#' "$unit" >"$units/$(basename "$unit")"
    systemd-analyze verify "$units/$(basename "$unit")"
  done
fi
