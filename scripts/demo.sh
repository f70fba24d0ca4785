#!/usr/bin/env bash
# The main story on a copy of examples/support-bot: baseline, a worse prompt, a gate that fails. Exits 0 when the story
# went as told; anything else is a bug. Expects the release binary.
set -euo pipefail
. "$(dirname "$0")/common.sh"

binary=${CARGO_TARGET_DIR:-$PWD/target}/release/llmops
[ -x "$binary" ] || fail "$binary is not there: run \`make demo\`, which builds it"
project=$PWD/.dev/demo
rm -rf "$project"
mkdir -p .dev
cp -R examples/support-bot "$project"
cd "$project"

say() {
  printf '\n%s\n' "$@"
}

# Shows a command as the reader would type it, and runs it.
run() {
  printf '\n$ llmops %s\n' "$*"
  "$binary" "$@"
}

started=${EPOCHREALTIME/./}
say "A shop's support bot, 42 questions with good answers, and a simulated model. Nothing leaves this machine." \
  "First, version 1.0.0 of the prompt is evaluated and becomes the baseline."
run eval
run baseline promote latest

say "Now somebody shortens the prompt. Two rules go:"
printf '\n$ cp prompts-next/support-bot.yaml prompts/support-bot.yaml\n'
diff <(sed -n '/^system/,$p' prompts/support-bot.yaml) <(sed -n '/^system/,$p' prompts-next/support-bot.yaml) |
  sed -n 's/^</  -/p; s/^>/  +/p'
cp prompts-next/support-bot.yaml prompts/support-bot.yaml
run eval

say "Is it good enough? In CI, this is the step that stops the merge:"
code=0
run gate || code=$?
[ "$code" = 1 ] || fail "the gate should have said no with exit code 1, and it exited with $code"
millis=$(((${EPOCHREALTIME/./} - started) / 1000))

cat <<END

The gate said no (exit code 1) and named the categories and samples. That took $((millis / 1000)).$(printf %03d $((millis % 1000))) s.

Next:
  cd .dev/demo
  export PATH="$(dirname "$binary"):\$PATH"
  llmops run list                                        the two runs
  llmops compare baseline latest                         what changed, sample by sample
  llmops prompt diff support-bot@1.0.0 support-bot@1.1.0
  llmops gate --help                                     reports for CI: Markdown, JUnit, HTML, a comment
  llmops init                                            in your own project's folder
END
