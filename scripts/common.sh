# Shared by the other scripts, which source it. Puts them in the project's root and gives them words to speak with.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() {
  printf '\n== %s\n' "$*"
}

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

check_format() {
  step "Format"
  cargo fmt --all --check || fail "run \`make fmt\`"
}

# have COMMAND
have() {
  command -v "$1" >/dev/null 2>&1
}

# apt_install PACKAGE WHY: installs a Debian package as root, or says what to install and why.
apt_install() {
  local package=$1 why=$2
  if [ "$(id -u)" != 0 ]; then
    fail "$why needs the package \`$package\`, and only root can install it: sudo apt-get install $package"
  fi
  have apt-get || fail "$why needs \`$package\`, and there is no apt-get here: install it with your package manager"
  step "Installing $package ($why)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package" >/dev/null; } ||
    fail "apt-get could not install \`$package\`, which $why needs"
}

# python_venv [NAME]: makes .dev/venv-NAME with the packages that scripts/requirements-NAME.txt pins, unless it is there
# and up to date, and puts it first on the path. NAME is test where none is given.
python_venv() {
  local name=${1:-test}
  local want=scripts/requirements-$name.txt venv=.dev/venv-$name
  have python3 || apt_install python3-venv "the comparison with Python packages"
  if ! cmp -s "$want" "$venv/installed.txt"; then
    step "Installing the Python packages of $want into $venv"
    rm -rf "$venv"
    mkdir -p .dev
    python3 -m venv "$venv" 2>/dev/null || {
      apt_install python3-venv "the comparison with Python packages"
      python3 -m venv "$venv"
    }
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$want" ||
      fail "pip could not install $want: is there a network?"
    cp "$want" "$venv/installed.txt"
  fi
  PATH="$PWD/$venv/bin:$PATH"
}

# bertscore_venv: makes .dev/venv-bertscore with bert_score and the pinned packages that it needs; some gigabytes.
bertscore_venv() {
  local venv=.dev/venv-bertscore want=scripts/requirements-bertscore.txt
  if ! cmp -s "$want" "$venv/installed.txt"; then
    step "Installing bert_score into $venv"
    rm -rf "$venv"
    mkdir -p .dev
    python3 -m venv "$venv" || { apt_install python3-venv "the comparison with bert_score" && python3 -m venv "$venv"; }
    "$venv/bin/pip" install -q --disable-pip-version-check --no-deps -r "$want" ||
      fail "pip could not install $want: is there a network?"
    cp "$want" "$venv/installed.txt"
  fi
}
