#!/usr/bin/env bash
# Measures packnback against restic and borg on this machine, in one run, and writes a table in Markdown.
#
#   bench/run.sh [--tools packnback,restic,borg] [--data tree,image] [--tree DIR] [--repeat N]
#
#   BENCH_DIR   where data and repositories go (default /var/tmp/packnback-bench; about 12 GB are used)
#
# The programs are taken from the release build (make build). See bench/README.md for what is measured and how.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${BENCH_DIR:-/var/tmp/packnback-bench}
bin=${CARGO_TARGET_DIR:-$HOME/.cache/packnback-target}/release
mkdir -p "$work"

tree='' others=()
while [ $# -gt 0 ]; do
  case $1 in
    --tree) tree=$2; shift 2 ;;
    *) others+=("$1"); shift ;;
  esac
done

if [ -z "$tree" ]; then
  tree=$work/tree/linux-source-6.1
  if [ ! -d "$tree" ]; then
    echo "unpacking the Linux source tree" >&2
    rm -rf "$work/tree.part"
    mkdir "$work/tree.part"
    tar -xf /usr/src/linux-source-6.1.tar.xz -C "$work/tree.part"
    mv "$work/tree.part" "$work/tree"
  fi
fi

image=$work/image/disk.img
if [ ! -f "$image" ]; then
  echo "writing the image" >&2
  mkdir -p "$work/image"
  "$here/make-image" "$image"
fi

PATH="$bin:$PATH" exec "$here/measure" --work "$work" --tree "$tree" --image "$work/image" "${others[@]}"
