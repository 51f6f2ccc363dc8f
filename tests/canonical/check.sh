#!/usr/bin/env bash
# Holds the golden vectors to a second implementation, in Python. Needs Python 3.10 and PyPI; everything stays in target/.
set -euo pipefail
cd "$(dirname "$0")"

venv=${CARGO_TARGET_DIR:-../../target}/canonical
# The list is copied last: an environment that was not finished is made anew.
if ! cmp -s requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt "$venv/"
fi
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" check.py
