#!/usr/bin/env bash
# Makes a history of many snapshots with packnback, restic and borg, forgets most of them, and says what that cost.
#
#   bench/prune.sh [--snaps 1000] [--files 20000] [--keep 30] [--tools packnback,restic,borg] [--seed 1] [--other-mib 2048]
#
#   BENCH_DIR   where tree and repositories go (default /var/tmp/packnback-bench; about 8 GB are used)
#
# SNAPS and FILES in the environment do the same as --snaps and --files. A short form, of a few minutes:
#
#   SNAPS=40 FILES=2000 bench/prune.sh --other-mib 256
#
# The programs are taken from the release build (make build). See bench/README.md for what is measured and how.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${BENCH_DIR:-/var/tmp/packnback-bench}/prune
bin=${CARGO_TARGET_DIR:-$HOME/.cache/packnback-target}/release
mkdir -p "$work"

PATH="$bin:$PATH" exec "$here/prune" --work "$work" --snaps "${SNAPS:-1000}" --files "${FILES:-20000}" "$@"
