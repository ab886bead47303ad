#!/usr/bin/env bash
# Installs what building and testing vedette needs and says what it does.
# Does nothing, and needs no network, once everything is there.
#   setup.sh            Go check, OpenCV and FFmpeg development packages, ONNX Runtime
#   setup.sh --no-cv    without OpenCV (for `make build-nocv`)
#   setup.sh --try-ort  goes on where ONNX Runtime cannot be had: the engine gorgonia needs none
#   setup.sh --no-ort   does not look for it
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
. scripts/apt.sh

cv=yes ort=must
for flag in "$@"; do
  case "$flag" in
    --no-cv) cv=no ;;
    --try-ort) ort=try ;;
    --no-ort) ort=no ;;
    *) die "unknown flag $flag; there are --no-cv, --try-ort and --no-ort" ;;
  esac
done

want_go=$(sed -n 's/^go //p' go.mod)
command -v go >/dev/null || die "Go is not installed: install Go $want_go or newer, then run this again"
have_go=$(go env GOVERSION | sed 's/^go//')
[ "$(printf '%s\n%s\n' "$want_go" "$have_go" | sort -V | head -n1)" = "$want_go" ] ||
  die "Go $have_go is too old: install Go $want_go or newer, then run this again"

missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
if [ "$cv" = yes ]; then
  command -v g++ >/dev/null || missing+=(g++)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  { command -v pkg-config >/dev/null && pkg-config --exists opencv4; } || missing+=(libopencv-dev)
  { command -v pkg-config >/dev/null && pkg-config --exists libavcodec libavformat; } || missing+=(libavcodec-dev libavformat-dev)
  command -v ffmpeg >/dev/null || missing+=(ffmpeg)
fi
if [ ${#missing[@]} -gt 0 ]; then
  apt_install "${missing[@]}" || die "install ${missing[*]} (OpenCV 4.6 or newer with its development files), then run this again"
fi

case "$ort" in
  must) scripts/ort.sh ;;
  try) scripts/ort.sh || say "going on without ONNX Runtime: models run on the slower engine gorgonia" ;;
esac
