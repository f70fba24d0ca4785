# Sourced by test scripts: a server to test.
#
# start_server BINARY [FOLDER]: starts `llmops serve` on a new store with a simulated provider, or with a copy of the
# project in FOLDER, and sets LLMOPS_URL, LLMOPS_API_KEY (an admin's) and server_folder. stop_server ends it and removes the folder.

server_pid=
server_folder=

start_server() {
  local binary=$1 tries=0
  server_folder=$(mktemp -d)
  if [ -n "${2:-}" ]; then
    cp -R "$2/." "$server_folder"
  else
    printf 'version: 1\nproject: tested\nproviders:\n  sim: {kind: simulator}\n' >"$server_folder/llmops.yaml"
  fi
  export LLMOPS_API_KEY=llmops_for-this-test-alone-$RANDOM$RANDOM$RANDOM
  LLMOPS_ADMIN_KEY=$LLMOPS_API_KEY "$binary" --config "$server_folder/llmops.yaml" serve --listen 127.0.0.1:0 \
    2>"$server_folder/log" &
  server_pid=$!
  until LLMOPS_URL=$(grep -o 'http://127[^ ]*' "$server_folder/log"); do
    kill -0 "$server_pid" 2>/dev/null || fail "the server did not start: $(cat "$server_folder/log")"
    [ $((tries += 1)) -lt 200 ] || fail "the server says no address: $(cat "$server_folder/log")"
    sleep 0.05
  done
  export LLMOPS_URL
}

stop_server() {
  [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
  [ -z "$server_pid" ] || wait "$server_pid" 2>/dev/null || true
  [ -z "$server_folder" ] || rm -rf "$server_folder"
  server_pid='' server_folder=''
}
