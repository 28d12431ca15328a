#!/usr/bin/env bash
# Compares two builds of packnback on one folder: first backup, unchanged (three times), restore; in both orders, each with
# a home of its own, restored into a tmpfs made anew (a file system that has just deleted many files makes new ones slowly).
#
#   bench/compare.sh OLD NEW [SOURCE]      OLD, NEW: folders with packnback and packnback-node
#
# Needs root for the tmpfs. Prints seconds of wall clock and, in brackets, exit codes.
set -euo pipefail
old=${1:?folder of the old programs}; new=${2:?folder of the new programs}
source=${3:-/usr/share}
work=$(mktemp -d "${TMPDIR:-/tmp}/packnback-compare.XXXXXX")
node=
cleanup() {
  [ -z "$node" ] || "$node/packnback" --home "$work/home" node stop >/dev/null 2>&1 || true
  mountpoint -q "$work/target" && umount "$work/target"
  rm -rf "$work"
}
trap cleanup EXIT

timed() {
  local start end rc=0
  start=$(date +%s%N)
  "$@" >/dev/null 2>&1 || rc=$?
  end=$(date +%s%N)
  printf ' %d.%03d(%d)' $(((end - start) / 1000000000)) $((((end - start) / 1000000) % 1000)) "$rc"
}

one() {
  local programs=$1 name=$2
  packnback() { "$programs/packnback" --home "$work/home" "$@"; }
  rm -rf "$work/home" "$work/key"
  mkdir -p "$work/target"
  mount -t tmpfs -o mode=700 tmpfs "$work/target"
  node=$programs
  packnback node start --listen /ip4/127.0.0.1/tcp/0 >/dev/null
  packnback init --no-passphrase --no-qr --label bench --owner-key-out "$work/key" >/dev/null
  printf '%s first' "$name"; timed packnback backup "$source"
  printf ' unchanged'; for _ in 1 2 3; do timed packnback backup --no-reread "$source"; done
  printf ' restore'; timed packnback restore latest --target "$work/target" --owner-key "$work/key"
  echo
  packnback node stop >/dev/null
  node=
  umount "$work/target"
}

find "$source" -type f -print0 | xargs -0 cat >/dev/null
one "$old" old; one "$new" new; one "$new" new; one "$old" old
