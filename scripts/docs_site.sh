#!/usr/bin/env bash
# Builds the documentation as a site into .dev/site. Links that lead nowhere and pages that nobody can find are errors.
set -euo pipefail
. "$(dirname "$0")/common.sh"

python_venv docs
export NO_MKDOCS_2_WARNING=1
mkdocs build --strict --quiet
echo "the site is in .dev/site"
