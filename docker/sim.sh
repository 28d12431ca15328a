#!/usr/bin/env bash
# Three nodes in containers: alice backs up to bob and carol, loses everything, and gets it back from carol.
# Starts a docker daemon of its own when none answers and this runs as root. Tears everything down again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-p packnback-sim)
daemon=''
work=$(mktemp -d)

finish() {
  "${compose[@]}" down --volumes --timeout 5 >/dev/null 2>&1 || true
  if [ -n "$daemon" ]; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

if ! docker info >/dev/null 2>&1; then
  [ "$(id -u)" -eq 0 ] || { echo 'docker-sim: no docker daemon answers, and only root can start one' >&2; exit 1; }
  echo 'starting a docker daemon'
  dockerd >"$work/dockerd.log" 2>&1 &
  daemon=$!
  for _ in $(seq 120); do
    docker info >/dev/null 2>&1 && break
    kill -0 "$daemon" 2>/dev/null || { tail -n 20 "$work/dockerd.log" >&2; echo 'docker-sim: the docker daemon did not start' >&2; exit 1; }
    sleep 0.5
  done
fi

docker/build-image.sh
"${compose[@]}" up --detach --force-recreate

on() { # NODE ARGUMENTS...: the command line in a container
  local node=$1; shift
  docker exec "$("${compose[@]}" ps -q "$node")" packnback "$@"
}
