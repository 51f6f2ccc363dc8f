#!/usr/bin/env bash
# Everything about the Python client: format, lint, types, and all tests against a real cluster that is started and ended here.
# PROGRAMS: where the stemedb program is (target/release). PORT: where the cluster begins (21180). Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../../.."
root=$PWD
client=$root/clients/python
work=$root/target/python
programs=${PROGRAMS:-$root/target/release}
port=${PORT:-21180}
cluster=$work/cluster
export PYTHONDONTWRITEBYTECODE=1

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
[[ -x $programs/stemedb ]] || fail "no stemedb in $programs: build it, or set PROGRAMS"

if ! cmp -s "$client/tests/requirements.txt" "$work/requirements.txt"; then
    rm -rf "$work"
    mkdir -p "$work"
    python3 -m venv "$work"
    "$work/bin/pip" install --quiet --disable-pip-version-check --requirement "$client/tests/requirements.txt"
    cp "$client/tests/requirements.txt" "$work/"
fi
# As users get it: the wheel, not the directory.
rm -rf "$work/dist"
"$work/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work/dist" "$client"
"$work/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall "$work"/dist/stemedb-*.whl

cd "$client"
export RUFF_CACHE_DIR=$work/ruff MYPY_CACHE_DIR=$work/mypy
"$work/bin/ruff" format --config pyproject.toml --check . "$root/examples"
"$work/bin/ruff" check .
# Examples print; that is what they are for.
"$work/bin/ruff" check --config pyproject.toml --extend-ignore T20 "$root/examples"
"$work/bin/mypy" --config-file pyproject.toml src tests "$root/examples"

# A store that is slow is waited for: copies shall be where their owners are, and said to be. All of it stays below what the
# client gives one gateway, 10 s; one that is dead is noticed at once all the same.
STEMEDB_HEDGE_MS=10000 STEMEDB_WRITE_DEADLINE_MS=7000 STEMEDB_MAYBE_STORED_DEADLINE_MS=8000 \
    "$programs/stemedb" up --fresh --no-demo --data-dir "$cluster" --base-port "$port" >"$work/up.log" 2>&1 &
up=$!
end() {
    local code=$?
    kill -TERM "$up" 2>/dev/null || true
    wait "$up" 2>/dev/null || true
    exit "$code"
}
trap end EXIT

export STEMEDB_URL=http://127.0.0.1:$((port + 1)),http://127.0.0.1:$((port + 101)),http://127.0.0.1:$((port + 201))
export PROGRAM=$programs/stemedb CLUSTER=$cluster
# `up` itself gives up after 120 s.
deadline=$((SECONDS + 150))
until "$PROGRAM" status --url "$STEMEDB_URL" >/dev/null 2>&1; do
    ((SECONDS < deadline)) && kill -0 "$up" || { cat "$work/up.log" >&2; fail "the cluster did not become ready"; }
    sleep 0.2
done
"$work/bin/pytest" -p no:cacheprovider "$@"
