#!/usr/bin/env bash
# The main story on a copy of examples/support-bot: baseline, a worse prompt, a gate that fails. Then the dashboard, with two
# weeks of simulated history and light traffic, until Ctrl-C; with CI=true the verdict is the end. LLMOPS_DEMO_PORT is where
# the dashboard listens, 8080 by default. Expects the release binary.
set -euo pipefail
. "$(dirname "$0")/common.sh"

target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
binary=$target/release/llmops
[ -x "$binary" ] || fail "$binary is not there: run \`make demo\`, which builds it"
root=$PWD
project=$PWD/.dev/demo
rm -rf "$project"
mkdir -p .dev
cp -R examples/support-bot "$project"
cd "$project"

say() {
  printf '\n'
  printf '%s\n' "$@"
}

# Shows a command as the reader would type it, and runs it.
run() {
  printf '\n$ llmops %s\n' "$*"
  "$binary" "$@"
}

if [ "${CI:-}" != true ]; then
  port=${LLMOPS_DEMO_PORT:-8080}
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "something listens on port $port already: LLMOPS_DEMO_PORT=8081 make demo takes another one"
  fi
  have python3 || apt_install python3 "the history of the demo"
  say "Two weeks of simulated history for the dashboard …"
  python3 "$root/scripts/demo_history.py" "$binary" "$project"
  "$binary" --config live.yaml --quiet serve --dev --listen "127.0.0.1:$port" 2>.llmops/demo.log &
  server=$!
  trap 'kill "$server" 2>/dev/null; wait' EXIT
  trap 'exit 0' INT TERM
  until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || fail "the server did not start: $(cat .llmops/demo.log)"
    sleep 0.05
  done
  say "The dashboard is at http://localhost:$port. What follows appears there, too."
fi

SECONDS=0
say "A shop's support bot, 42 questions with good answers, and a simulated model. Nothing leaves this machine." \
  "First, version 1.0.0 of the prompt is evaluated and becomes the baseline."
run eval
run baseline promote latest

say "Now somebody shortens the prompt. Two rules go, a third is softened:"
printf '\n$ cp prompts-next/support-bot.yaml prompts/support-bot.yaml\n'
{ diff <(sed -n '/^system/,$p' prompts/support-bot.yaml) <(sed -n '/^system/,$p' prompts-next/support-bot.yaml) || true; } |
  sed -n 's/^</  -/p; s/^>/  +/p'
cp prompts-next/support-bot.yaml prompts/support-bot.yaml
run eval

say "Is it good enough? In CI, this is the step that stops the merge:"
code=0
run gate || code=$?
[ "$code" = 1 ] || fail "the gate should have said no with exit code 1, and it exited with $code"

cat <<END

The gate said no (exit code 1) and named the categories and samples. All that took less than $((SECONDS + 1)) s.

Next:
  cd .dev/demo
  export PATH="$(dirname "$binary"):\$PATH"
  llmops run list                                        the runs
  llmops compare baseline latest                         what changed, sample by sample
  llmops prompt diff support-bot@1.0.0 support-bot@1.1.0
  llmops gate --help                                     reports for CI: Markdown, JUnit, HTML, a comment
  llmops init                                            in your own project's folder
END
[ "${CI:-}" != true ] || exit 0

python3 "$root/scripts/demo_traffic.py" "http://127.0.0.1:$port" 2>>.llmops/demo.log &
traffic=$!
trap 'kill "$traffic" "$server" 2>/dev/null; wait' EXIT
say "The dashboard is at http://localhost:$port: two weeks of history, marked as simulated, and some live traffic." \
  "Ctrl-C ends it."
wait "$server"
