#!/usr/bin/env bash
# Runs the independent reader: against the golden vectors, then against a backup that is made, exported and restored.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${CARGO_TARGET_DIR:-$HOME/.cache/packnback-target}/reader-venv

if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
"$venv/bin/python" "$here/check_vectors.py"
"$venv/bin/python" "$here/check_newest.py"
"$venv/bin/python" "$here/check_backup.py"
