#!/usr/bin/env bash
# How much of its speed is left over a line with a long round trip? Brings a folder to a friend, and recovers it from
# there on a blank machine: over loopback, and over loopback with 25 ms held back in each direction (TCP, no limit to
# the rate), in one run, alternating.
#
#   bench/line.sh [MIB] [MS]       MIB of random data (default 512), MS each way (default 25)
#
#   BIN    folder with packnback, packnback-node and examples/line (default: the release build; the last is built with
#          cargo build --release -p packnback-node --example line)
#
# Prints seconds for each, and the ratio. Ports 47310 to 47312 on 127.0.0.1 must be free.
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

# One round: a host and a device made anew, which know each other at this port only.
round() {
  local port=$1 id
  for node in host device blank; do stop $node; rm -rf "${work:?}/$node"; done
  rm -f "$work/key" "$work/host-key"
  say host node start --listen /ip4/127.0.0.1/tcp/47310 >/dev/null 2>&1
  say host init --no-passphrase --no-qr --label host --owner-key-out "$work/host-key" >/dev/null 2>&1
  say device node start --listen /ip4/127.0.0.1/tcp/47312 >/dev/null 2>&1
  say device init --no-passphrase --no-qr --label device --owner-key-out "$work/key" >/dev/null 2>&1
  say device backup "$work/data" >/dev/null 2>&1
  id=$(say host --json peer id 2>/dev/null | sed -n 's/.*"node": *"\([^"]*\)".*/\1/p' | head -1)
  say device peer accept "$(say host peer invite --quota 1TiB 2>/dev/null | grep -o 'pnb-invite-[a-z0-9]*')" >/dev/null 2>&1
  say device peer address host "127.0.0.1:$port" >/dev/null 2>&1 || true
  sent=$(seconds say device backup "$work/data" --wait 1)
  say blank node start --listen /ip4/127.0.0.1/tcp/0 >/dev/null 2>&1
  back=$(seconds say blank recover --from "/ip4/127.0.0.1/tcp/$port/p2p/$id" --owner-key "$work/key" --target "$work/back")
  rm -rf "$work/back"
  echo "$sent $back"
}

for _ in 1 2; do
  near=$(round 47310); far=$(round 47311)
  echo "loopback: bring, recover: $near s   line of $((2 * ms)) ms: $far s" \
    "ratio: $(echo "$near $far" | awk '{printf "bring %.2f, recover %.2f", $1 / $3, $2 / $4}')"
done
