#!/usr/bin/env bash
# Checks the compose file, as far as this machine can: with the compose program when there is one.
set -euo pipefail
cd "$(dirname "$0")/.."

for script in docker/*.sh; do bash -n "$script"; done
if docker compose version >/dev/null 2>&1; then
  docker compose -f docker-compose.yml config --quiet
  echo 'docker compose accepts docker-compose.yml'
elif docker-compose version >/dev/null 2>&1; then
  docker-compose -f docker-compose.yml config --quiet
  echo 'docker-compose accepts docker-compose.yml'
else
  echo 'no compose program here: docker-compose.yml is not checked'
fi
