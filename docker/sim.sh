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

say() { printf 'docker-sim: %s\n' "$*"; }

container() { "${compose[@]}" ps -q "$1"; }

say 'three nodes are up; alice makes friends with bob and carol'
for friend in bob carol; do
  invite=$(on "$friend" --json peer invite --quota 10G --name alice | grep -oE 'pnb-invite-[a-z0-9]+')
  on alice peer accept "$invite" --quota 10G --name "$friend" >/dev/null
done

say 'alice backs up and waits for both'
mkdir -p "$work/tree/dir"
cp -r docs proto/src "$work/tree/dir/"
head -c 20000000 /dev/urandom >"$work/tree/big"
ln -s big "$work/tree/link"
docker cp --quiet "$work/tree" "$(container alice)":/tmp/tree 2>/dev/null || docker cp "$work/tree" "$(container alice)":/tmp/tree
on alice init --owner-key-out /tmp/owner.key --no-passphrase --label alice --no-qr >/dev/null
on alice backup /tmp/tree --wait 2 --wait-timeout 2m
docker cp "$(container alice)":/tmp/owner.key "$work/owner.key" >/dev/null
address=$(on carol --json status | grep -oE '/ip4/[0-9.]+/tcp/4001/p2p/[A-Za-z0-9]+' | grep -v '/127\.' | head -n1)

say 'the machine is lost: container and volume are removed, a blank one takes the place'
docker rm --force "$(container alice)" >/dev/null
docker volume rm packnback-sim_alice >/dev/null
"${compose[@]}" up --detach alice
docker cp "$work/owner.key" "$(container alice)":/tmp/owner.key >/dev/null
on alice recover --owner-key /tmp/owner.key --peer "$address" --target /tmp/back

docker cp "$(container alice)":/tmp/back "$work/back" >/dev/null
diff -r --no-dereference "$work/tree" "$work/back/tmp/tree"
say 'everything is back, and identical'
