#!/usr/bin/env bash
# Installs the OpenFeature clients that the tests run into .dev/clients, unless they are there. Prints the folder.
set -euo pipefail
. "$(dirname "$0")/../common.sh"

home=$PWD/.dev/clients
mkdir -p "$home"
exec 9>"$home/lock"
flock 9
cat scripts/clients/package.json scripts/clients/requirements.txt >"$home/wanted.txt"
if ! cmp -s "$home/wanted.txt" "$home/installed.txt"; then
  cp scripts/clients/package.json "$home/package.json"
  npm install --prefix "$home" --no-audit --no-fund --no-package-lock --loglevel=error >&2 ||
    fail "npm could not install the OpenFeature clients: is there a network?"
  python3 -m venv "$home/venv" >&2 || {
    apt_install python3-venv "the Python client of OpenFeature" >&2
    python3 -m venv "$home/venv" >&2
  }
  "$home/venv/bin/pip" install -q --disable-pip-version-check -r scripts/clients/requirements.txt >&2 ||
    fail "pip could not install the Python client of OpenFeature: is there a network?"
  mv "$home/wanted.txt" "$home/installed.txt"
fi
echo "$home"
