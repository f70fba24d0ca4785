#!/usr/bin/env bash
# docs_site.sh [BINARY]: builds the documentation as a site into .dev/site. Links that lead nowhere and pages that nobody can
# find are errors. The binary tells the page of the commands what there is.
set -euo pipefail
. "$(dirname "$0")/common.sh"

if [ $# -gt 0 ]; then
  case $1 in /*) LLMOPS_BINARY=$1 ;; *) LLMOPS_BINARY=$PWD/$1 ;; esac
  export LLMOPS_BINARY
fi
python_venv docs
export NO_MKDOCS_2_WARNING=1
mkdocs build --strict --quiet
echo "the site is in .dev/site"
