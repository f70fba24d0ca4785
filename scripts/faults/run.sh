#!/usr/bin/env bash
# Breaks things on purpose, on servers of its own: scripts/faults/run.sh replicas [--small] | outage | gateway STORY
set -euo pipefail
. "$(dirname "$0")/../common.sh"
. scripts/services.sh

[ $# -ge 1 ] || fail "usage: scripts/faults/run.sh replicas [--small] | outage | gateway faults|rollback|outage"
story=$1
shift
have python3 || apt_install python3 "the fault tests"
trap stop_services EXIT
case "$story ${1:-}" in
  # PostgreSQL is taken away: never one that others use.
  "outage "* | "gateway outage") start_private_postgres ;;
  "gateway faults") ;;
  *)
    start_postgres
    start_redis
    ;;
esac
have psql || apt_install postgresql-client "the fault tests"
python3 "scripts/faults/$story.py" "$@"
