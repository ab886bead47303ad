#!/usr/bin/env bash
# Puts the ONNX Runtime library into the cache folder, checksum verified.
# Does nothing, and needs no network, when ONNXRUNTIME_SHARED_LIBRARY_PATH names
# a file or the cache has the library. Otherwise it takes the first of these
# that gives what its checksum in ort.sha256 says (what is pinned is the library
# of the npm package and of the wheel, and the archive of the release):
#   npm      the package onnxruntime-node, without running its install scripts
#   pip      the wheel onnxruntime
#   release  the archive of the official GitHub release, with curl; not tried,
#            its checksum is the one that many other projects pin
# If what is installed gives none, it installs curl and then pip by apt-get.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf 'ort: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
. ./apt.sh

if [ -n "${ONNXRUNTIME_SHARED_LIBRARY_PATH:-}" ]; then
  [ -f "$ONNXRUNTIME_SHARED_LIBRARY_PATH" ] || die "ONNXRUNTIME_SHARED_LIBRARY_PATH is $ONNXRUNTIME_SHARED_LIBRARY_PATH, which is not a file: correct or unset it"
  exit 0
fi

version=1.30.0
machine=$(uname -m)
pin() { awk -v v="$version" -v m="$machine" -v r="$1" '$1 == v && $2 == m && $3 == r { print $4 }' ort.sha256; }
[ "$(uname -s)" = Linux ] && [ -n "$(pin npm)" ] || {
  say "no ready library for $(uname -s) $machine: set ONNXRUNTIME_SHARED_LIBRARY_PATH to one, or run with engine gorgonia"
  exit 0
}
case $machine in x86_64) npm_arch=x64 gh_arch=x64 ;; *) npm_arch=arm64 gh_arch=$machine ;; esac

dir=${XDG_CACHE_HOME:-$HOME/.cache}/vedette/onnxruntime-$version
lib=$dir/libonnxruntime.so.1
sum() { sha256sum <"$1" | cut -d' ' -f1; }
# The library of a release is pinned by its archive; its own checksum is
# recorded beside it when it is unpacked.
known() {
  [ -f "$lib" ] || return 1
  local got; got=$(sum "$lib")
  [ "$got" = "$(pin npm)" ] || [ "$got" = "$(pin pip)" ] || [ "$got" = "$(cat "$lib.sha256" 2>/dev/null)" ]
}
known && exit 0

mkdir -p "$dir" || die "cannot make the folder $dir: set XDG_CACHE_HOME to a folder that can be written"
# Two at once, as of two checkouts: the second waits and then finds it there.
exec 9>"$dir/.lock"
if command -v flock >/dev/null; then flock 9; known && exit 0; fi
tmp=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

# quietly ROUTE COMMAND...: its output only when it fails, and then its end.
quietly() {
  local route=$1; shift
  "$@" >"$tmp/log" 2>&1 9>&- && return 0
  say "$route: $(grep -v '^[[:space:]]*$' "$tmp/log" | tail -n 2 | tr '\n' ' ')"
  return 1
}

# checked FILE ROUTE: whether the file is the one that is pinned.
checked() {
  local got; got=$(sum "$1")
  [ "$got" = "$(pin "$2")" ] && return 0
  say "$2: what was fetched has SHA-256 $got, not $(pin "$2"): not using it"
  return 1
}

keep() { # FILE
  sum "$1" >"$lib.sha256" && mv -f "$1" "$lib" || return 1
  say "ONNX Runtime $version is in $dir"
}

has_npm() { command -v npm >/dev/null; }
from_npm() {
  local so=package/bin/napi-v6/linux/$npm_arch/libonnxruntime.so.1
  say "fetching ONNX Runtime $version from the npm package onnxruntime-node (114 MB, once)"
  mkdir "$tmp/npm"
  (cd "$tmp/npm" && quietly npm npm pack --loglevel error --fetch-retries 1 "onnxruntime-node@$version") || return 1
  quietly npm tar -xzf "$tmp"/npm/onnxruntime-node-*.tgz -C "$tmp/npm" "$so" || return 1
  checked "$tmp/npm/$so" npm && keep "$tmp/npm/$so"
}

has_pip() { python3 -m pip --version >/dev/null 2>&1; }
from_pip() {
  local so=libonnxruntime.so.$version
  say "fetching ONNX Runtime $version from the Python wheel onnxruntime (23 MB, once)"
  # The library in it is the same for every Python: any will do.
  quietly pip python3 -m pip download --quiet --no-deps --no-cache-dir --only-binary :all: --retries 2 --timeout 30 \
    --platform "manylinux_2_28_$machine" --implementation cp --python-version 3.11 --abi cp311 \
    -d "$tmp/pip" "onnxruntime==$version" || return 1
  quietly pip python3 -c 'import sys, zipfile; open(sys.argv[3], "wb").write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' \
    "$tmp"/pip/onnxruntime-*.whl "onnxruntime/capi/$so" "$tmp/$so" || return 1
  checked "$tmp/$so" pip && keep "$tmp/$so"
}

has_release() { command -v curl >/dev/null; }
from_release() {
  local name=onnxruntime-linux-$gh_arch-$version
  say "fetching ONNX Runtime $version from its GitHub release (11 MB, once)"
  quietly release curl -fsSL --retry 2 --connect-timeout 20 --speed-limit 1000 --speed-time 60 -o "$tmp/$name.tgz" \
    "https://github.com/microsoft/onnxruntime/releases/download/v$version/$name.tgz" || return 1
  checked "$tmp/$name.tgz" release || return 1
  quietly release tar -xzf "$tmp/$name.tgz" -C "$tmp" "$name/lib/libonnxruntime.so.$version" || return 1
  keep "$tmp/$name/lib/libonnxruntime.so.$version"
}

missing=()
for route in npm pip release; do
  if "has_$route"; then
    if "from_$route"; then exit 0; fi
  else
    missing+=("$route")
  fi
done
# curl is smallest, pip the next. npm would bring half a thousand packages.
case " ${missing[*]} " in *" release "*)
  if apt_install curl ca-certificates && has_release && from_release; then exit 0; fi ;;
esac
case " ${missing[*]} " in *" pip "*)
  if apt_install python3-pip && has_pip && from_pip; then exit 0; fi ;;
esac
die "cannot fetch ONNX Runtime $version: check the network, and that npm, curl or python3 with pip is installed, or set ONNXRUNTIME_SHARED_LIBRARY_PATH to a libonnxruntime.so of version 1.29 or newer (vedette also runs without it, slower: --engine gorgonia)"
