#!/usr/bin/env bash
# Builds the image packnback:local from the programs of a release build: packnback, packnback-node and packnback-stage, the shared libraries they
# need, and nothing else but an empty home. No base image is fetched.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${CARGO_TARGET_DIR:-$HOME/.cache/packnback-target}/release

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/rootfs/bin" "$stage/rootfs/tmp" "$stage/rootfs/home/packnback" "$stage/rootfs/etc"
chmod 1777 "$stage/rootfs/tmp"
echo 'root:x:0:0:root:/home/packnback:/bin/packnback' >"$stage/rootfs/etc/passwd"
echo 'root:x:0:' >"$stage/rootfs/etc/group"

for program in packnback packnback-node packnback-stage; do
  install -m 755 "$bin/$program" "$stage/rootfs/bin/$program"
  strip "$stage/rootfs/bin/$program" 2>/dev/null || true
  # Lines are "name => /path (address)" or "/path (address)" for the loader.
  ldd "$bin/$program" | grep -oE '/[^ ]+' | sort -u | while read -r library; do
    mkdir -p "$stage/rootfs$(dirname "$library")"
    cp -L "$library" "$stage/rootfs$library"
  done
done

cp "$here/../Dockerfile" "$stage/Dockerfile"
docker build --quiet --tag packnback:local "$stage" >/dev/null
docker image inspect --format 'packnback:local is {{.Size}} bytes' packnback:local
