#!/usr/bin/env bash
# Puts the ONNX Runtime library into the cache folder, checksum verified.
# Does nothing when ONNXRUNTIME_SHARED_LIBRARY_PATH names a file or the cache
# has it. Sources, in order: the npm package onnxruntime-node (its CPU library
# alone, without running install scripts), then the official GitHub release.
set -euo pipefail

version=1.30.0
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)  npm_dir=linux/x64   gh_arch=linux-x64     sha=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23 ;;
  Linux-aarch64) npm_dir=linux/arm64 gh_arch=linux-aarch64 sha=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76 ;;
  *) echo "ort: no ready library for $(uname -s) $(uname -m): set ONNXRUNTIME_SHARED_LIBRARY_PATH to one, or run with engine gorgonia" >&2; exit 0 ;;
esac

say() { printf 'ort: %s\n' "$*" >&2; }
die() { printf 'ort: %s\n' "$*" >&2; exit 1; }

if [ -n "${ONNXRUNTIME_SHARED_LIBRARY_PATH:-}" ]; then
  [ -f "$ONNXRUNTIME_SHARED_LIBRARY_PATH" ] || die "ONNXRUNTIME_SHARED_LIBRARY_PATH is $ONNXRUNTIME_SHARED_LIBRARY_PATH, which is not a file: correct or unset it"
  exit 0
fi

dir=${XDG_CACHE_HOME:-$HOME/.cache}/vedette/onnxruntime-$version
lib=$dir/libonnxruntime.so.1
# A library from the GitHub release has another checksum: it was verified when
# it was fetched and is recorded beside it.
known() { [ -f "$lib" ] && [ "$(sha256sum <"$lib" | cut -d' ' -f1)" = "$(cat "$lib.sha256" 2>/dev/null || echo "$sha")" ]; }
known && exit 0

mkdir -p "$dir"
tmp=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

keep() { # FILE SHA256
  local got; got=$(sha256sum <"$1" | cut -d' ' -f1)
  [ "$got" = "$2" ] || die "the library fetched has SHA-256 $got, not $2: not using it"
  printf '%s\n' "$2" >"$lib.sha256"
  mv -f "$1" "$lib"
  say "ONNX Runtime $version is in $dir"
}

from_npm() {
  command -v npm >/dev/null || return 1
  say "fetching ONNX Runtime $version from the npm package onnxruntime-node (114 MB, once)"
  (cd "$tmp" && npm pack --silent "onnxruntime-node@$version" >/dev/null) || return 1
  tar -xzf "$tmp"/onnxruntime-node-*.tgz -C "$tmp" "package/bin/napi-v6/$npm_dir/libonnxruntime.so.1" || return 1
  keep "$tmp/package/bin/napi-v6/$npm_dir/libonnxruntime.so.1" "$sha"
}

from_release() {
  command -v curl >/dev/null || return 1
  local name=onnxruntime-$gh_arch-$version.tgz digest
  say "fetching ONNX Runtime $version from its GitHub release"
  # GitHub states the digest of every asset of a release.
  digest=$(curl -fsSL --retry 2 "https://api.github.com/repos/microsoft/onnxruntime/releases/tags/v$version" |
    tr '{' '\n' | grep -F "\"name\":\"$name\"" -A3 | grep -o 'sha256:[0-9a-f]\{64\}' | head -n1 | cut -d: -f2) || return 1
  [ -n "$digest" ] || return 1
  curl -fsSL --retry 2 -o "$tmp/$name" "https://github.com/microsoft/onnxruntime/releases/download/v$version/$name" || return 1
  [ "$(sha256sum <"$tmp/$name" | cut -d' ' -f1)" = "$digest" ] || die "$name does not have the digest its release states: not using it"
  tar -xzf "$tmp/$name" -C "$tmp" || return 1
  local so; so=$(find "$tmp" -name "libonnxruntime.so.$version" -type f | head -n1)
  [ -n "$so" ] || return 1
  keep "$so" "$(sha256sum <"$so" | cut -d' ' -f1)"
}

from_npm || from_release ||
  die "cannot fetch ONNX Runtime $version: install npm or curl and check the network, or set ONNXRUNTIME_SHARED_LIBRARY_PATH to a libonnxruntime.so of version 1.29 or newer (vedette also runs without it, slower: --engine gorgonia)"
