#!/usr/bin/env bash
# How much of its speed is left over a line with a long round trip? Brings a folder to a friend, and recovers it from
# there on a blank machine: over loopback, and over loopback with 25 ms held back in each direction (TCP, no limit to
# the rate), in one run, alternating.
#
#   bench/line.sh [MIB] [MS]       MIB of random data (default 512), MS each way (default 25)
#
#   BIN    folder with packnback, packnback-node and examples/line (default: the release build; the last is built with
#          cargo build --release --workspace --example line)
#
# Prints seconds of the recovery for each, and the ratio. Ports 47310 and 47311 on 127.0.0.1 must be free.
set -euo pipefail
mib=${1:-512}; ms=${2:-25}
bin=${BIN:-${CARGO_TARGET_DIR:-$HOME/.cache/packnback-target}/release}
work=$(mktemp -d "${TMPDIR:-/tmp}/packnback-line.XXXXXX")
line=
say() { "$bin/packnback" --home "$work/$1" "${@:2}"; }
stop() { say "$1" node stop >/dev/null 2>&1 || true; }
cleanup() {
  for node in host device blank; do stop $node; done
  [ -z "$line" ] || kill "$line" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

head -c "${mib}M" /dev/urandom | split -b 32M - "$work/part."
mkdir "$work/data"; mv "$work"/part.* "$work/data/"
"$bin/examples/line" 127.0.0.1:47311 127.0.0.1:47310 "$ms" > "$work/line.log" &
line=$!

seconds() {
  local start end
  start=$(date +%s%N)
  "$@" >"$work/last.log" 2>&1 || { cat "$work/last.log" >&2; exit 1; }
  end=$(date +%s%N)
  echo "$start $end" | awk '{printf "%.3f", ($2 - $1) / 1e9}'
}

say host init --no-passphrase --no-qr --label host --owner-key-out "$work/host-key" >/dev/null
say host node stop >/dev/null 2>&1 || true
say host node start --listen /ip4/127.0.0.1/tcp/47310 >/dev/null
say device init --no-passphrase --no-qr --label device --owner-key-out "$work/key" >/dev/null
id=$(say host status -v --json | grep -o '12D3[A-Za-z0-9]*' | head -1)
say device peer accept "$(say host peer invite --quota 1TiB 2>/dev/null | grep -o 'pnb-invite-[a-z0-9]*')" >/dev/null
say device backup "$work/data" --wait 1 >/dev/null

# Recovers on a blank machine that reaches the host at this port.
recovery() {
  stop blank
  rm -rf "$work/blank" "$work/back"
  seconds say blank recover --peer "/ip4/127.0.0.1/tcp/$1/p2p/$id" --owner-key "$work/key" --target "$work/back"
  cmp "$work/data/part.aa" "$(find "$work/back" -name part.aa)"
}

recovery 47310 >/dev/null # what is read for the first time comes from the disk
for _ in 1 2; do
  near=$(recovery 47310); far=$(recovery 47311)
  echo "recover: loopback $near s, line of $((2 * ms)) ms $far s: $(echo "$near $far" | awk '{printf "%.0f %%", 100 * $1 / $2}') of its speed"
done
