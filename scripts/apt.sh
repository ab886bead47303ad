# What setup.sh and ort.sh share: sourced by both, never run. Wants say and die.

# apt_install PACKAGE...: installs Debian packages, or says in a sentence on
# stderr why it cannot, and fails.
apt_install() {
  local sudo=() quiet=(-qq -o Acquire::Retries=1 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30)
  if ! command -v apt-get >/dev/null; then
    say "missing $*, and this system has no apt-get: install them with its own package manager"
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      say "missing $*: run as root: apt-get install $*"
      return 1
    fi
    sudo=(sudo)
  fi
  say "installing $* with apt-get (once)"
  # An update that fails leaves the lists as they are, which may be enough.
  "${sudo[@]}" apt-get "${quiet[@]}" update || true
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get "${quiet[@]}" install -y --no-install-recommends "$@" >/dev/null
}
