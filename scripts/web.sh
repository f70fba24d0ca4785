#!/usr/bin/env bash
# The dashboard: builds it into the server's assets, or tests it.
#
#   scripts/web.sh build    types from docs/openapi.json, type check, bundle, compressed files to commit
#   scripts/web.sh check    the committed files are what the sources make; types and unit tests
#   scripts/web.sh test BINARY    pages end to end in Chromium, on a server with seeded data
#   scripts/web.sh picture URL    the picture of it in docs/images, of a server such as that of `make demo`
set -euo pipefail
. "$(dirname "$0")/common.sh"

packages() {
  have npm || fail "the dashboard is built with npm: install Node 20 or newer"
  if ! cmp -s web/package-lock.json web/node_modules/.installed; then
    step "Installing the dashboard's packages"
    (cd web && npm ci --no-audit --no-fund --loglevel=error)
    cp web/package-lock.json web/node_modules/.installed
  fi
  (cd web && npm run --silent types >/dev/null)
}

case ${1:-} in
build)
  packages
  (cd web && npm run --silent check && npm run --silent build && node scripts/pack.mjs)
  ;;
check)
  packages
  step "Types and logic of the dashboard"
  (cd web && npm run --silent check && npm run --silent test)
  step "The committed dashboard is what its sources make"
  fresh=$(mktemp -d)
  trap 'rm -rf "$fresh"' EXIT
  (cd web && npx vite build --outDir "$fresh" --logLevel error && node scripts/pack.mjs --check "$fresh")
  ;;
test)
  packages
  have chromium || apt_install chromium "the tests of the dashboard's pages"
  . scripts/serve_for_tests.sh
  trap stop_server EXIT
  start_server "$2" examples/support-bot
  python3 scripts/seed_dashboard.py "$LLMOPS_URL" "$LLMOPS_API_KEY"
  step "Pages of the dashboard"
  (cd web && node --test --test-reporter=spec tests/)
  ;;
picture)
  packages
  have chromium || apt_install chromium "the picture of the dashboard"
  LLMOPS_URL=$2 node web/scripts/picture.mjs "$PWD/docs/images/dashboard.png"
  ;;
*)
  fail "usage: scripts/web.sh build | check | test BINARY | picture URL"
  ;;
esac
