#!/usr/bin/env bash
# The OpenAI, Anthropic and LangChain clients, unchanged, against a gateway of its own: scripts/clients/gateway.sh [BINARY]
set -euo pipefail
. "$(dirname "$0")/../common.sh"

binary=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/llmops}")
[ -x "$binary" ] || fail "there is no $binary: cargo build -p llmops-cli"
home=$PWD/.dev/clients-gateway
mkdir -p "$home"
if ! cmp -s scripts/clients/requirements-gateway.txt "$home/installed.txt"; then
  [ -x "$home/venv/bin/python" ] || python3 -m venv "$home/venv"
  "$home/venv/bin/pip" install -q --disable-pip-version-check -r scripts/clients/requirements-gateway.txt ||
    fail "pip could not install the clients: is there a network?"
  cp scripts/clients/package-gateway.json "$home/package.json"
  npm install --prefix "$home" --no-audit --no-fund --no-package-lock --loglevel=error ||
    fail "npm could not install the clients: is there a network?"
  cp scripts/clients/requirements-gateway.txt "$home/installed.txt"
fi

folder=$(mktemp -d)
key=llmops-clients-key-0123456789abcdef
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
upstream=$(free_port) port=$(free_port)
python3 scripts/faults/upstream.py "$upstream" "$folder/provider.jsonl" &
cat >"$folder/llmops.yaml" <<YAML
version: 1
project: clients
providers:
  mock: {kind: openai, base_url: "http://127.0.0.1:$upstream/v1"}
operations: {enable_auto_evaluation: false}
YAML
(cd "$folder" && LLMOPS_ADMIN_KEY=$key LLMOPS_LOG=warn exec "$binary" serve --listen "127.0.0.1:$port" 2>"$folder/log") &
for _ in $(seq 300); do
  curl -sf "http://127.0.0.1:$port/healthz" >/dev/null && break
  sleep 0.1
done
curl -sf "http://127.0.0.1:$port/api/v1/deployments/bot/deploy" -H "authorization: Bearer $key" \
  -H 'content-type: application/json' -d '{"manifest": {"model": "mock/m"}}' >/dev/null || fail "$(cat "$folder/log")"
sleep 1

step "Unchanged clients against the gateway"
"$home/venv/bin/python" scripts/clients/gateway_client.py "http://127.0.0.1:$port" "$key"
cp scripts/clients/gateway_client.mjs "$home/"
node "$home/gateway_client.mjs" "http://127.0.0.1:$port" "$key"
