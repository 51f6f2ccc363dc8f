#!/usr/bin/env bash
# A write's trace as a collector written by others receives it: three nodes send their spans to rotel. First a write through
# node1 whose owners are node2 and node3, then one that node3 misses and repair brings it. Prints both as trees.
# PROGRAMS is the directory of `stemedb`; without it that is built here.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/deploy/within.sh
work=$PWD/target/deploy/trace
mkdir -p "$work"

# A pre-release: pip takes it only by its exact name.
rotel=0.0.1a15
agent=$work/rotel-$rotel
# Away from the ports of `stemedb up` and of every other test.
base=22180
collector=127.0.0.1:22417

if [[ ! -x $agent/bin/rotel-agent ]]; then
    python3 -m venv "$agent"
    "$agent/bin/pip" install --quiet --disable-pip-version-check "rotel==$rotel"
    ln -s "$("$agent/bin/python" -c 'import pathlib, rotel; print(pathlib.Path(rotel.__file__).parent)')/rotel-agent" "$agent/bin/"
fi
if [[ -z ${PROGRAMS:-} ]]; then
    cargo build --quiet --locked --package stemedb
    PROGRAMS=${CARGO_TARGET_DIR:-target}/debug
fi
stemedb=$PROGRAMS/stemedb

started=()
end() {
    local code=$? pid
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" || true
    done
    ((code == 0)) || tail -n 15 "$work"/{up,rotel}.log >&2
    rm -rf "$work/data"
    exit "$code"
}
trap end EXIT

"$agent/bin/rotel-agent" start --otlp-grpc-endpoint "$collector" --otlp-http-endpoint 127.0.0.1:22418 --exporter blackhole \
    --pid-file "$work/rotel.pid" --debug-log traces --debug-log-verbosity detailed >"$work/rotel.log" 2>&1 &
started=($!)

# Every trace is recorded, but for polls and health checks, which ask not to be. A silent store is left its time: copies
# shall be where their owners are.
OTEL_EXPORTER_OTLP_ENDPOINT=http://$collector OTEL_TRACES_SAMPLER=parentbased_always_on OTEL_BSP_SCHEDULE_DELAY=200 \
    STEMEDB_HEDGE_MS=10000 STEMEDB_WRITE_DEADLINE_MS=8000 STEMEDB_MAYBE_STORED_DEADLINE_MS=9000 \
    "$stemedb" up --base-port "$base" --data-dir "$work/data" --fresh --no-demo >"$work/up.log" 2>&1 &
started=($! "${started[@]}")
ready() { kill -0 "${started[0]}" && grep -q '^ready:' "$work/up.log"; }
# `up` itself gives up after 120 s.
within 150 "three nodes ready" ready

hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
# No span may show it.
secret=steme_test_$(hex 24)

# assert SUBJECT: writes a claim through node1, in a new trace below a new span of the client.
assert() {
    trace=$(hex 16) client=$(hex 8)
    reply=$(curl --silent --fail --max-time 10 --write-out '%header{x-trace-id}' "http://127.0.0.1:$base/v1/assert" \
        --header 'content-type: application/json' --header "traceparent: 00-$trace-$client-01" --header "x-api-key: $secret" \
        --data '{"subject": "'"$1"'", "predicate": "boiling_point_k", "object": {"type": "number", "value": 373.15},
            "source": {"uri": "https://example.org/kettle", "class": "anecdotal"}}')
    [[ ${reply##*\}} == "$trace" ]] || fail "not the trace that was asked for: $reply"
    reply=${reply%\}*}\}
    holders=$(jq -r '.holders | join(" ")' <<<"$reply")
}

# shown SECONDS WHAT ARGUMENT…: prints that trace once it is whole, or in the end what it lacks.
shown() {
    local deadline=$((SECONDS + $1)) tree
    until tree=$(python3 -B tests/deploy/spans.py "$2" "$work/rotel.log" "${@:3}" 2>&1); do
        ((SECONDS < deadline)) || fail "trace $trace: $tree"
        sleep 0.2
    done
    echo "trace $trace"
    echo "$tree"
}

echo "== a write through node1, for node2 and node3"
for number in {1..100}; do
    subject=trace:$number
    assert "$subject"
    [[ $holders != "node2 node3" ]] || break
done
[[ $holders == "node2 node3" ]] || fail "none of $number subjects lies on node2 and node3"
shown 60 write "$trace" "$client"

echo "== a write that node3 misses"
"$stemedb" local kill node3 --data-dir "$work/data" >/dev/null
assert "$subject"
[[ $holders == "node1 node2" ]] || fail "held by $holders"
"$stemedb" local start node3 --data-dir "$work/data" >/dev/null
shown 120 repair "$trace"
id=$(jq -r .id <<<"$reply")
told() {
    row=$(curl --silent --fail --max-time 10 "http://127.0.0.1:$base/v1/records/$id/replicas" |
        jq -ce '.result.replicas[] | select(.node == "node3") | [.arrival, .trace_id]')
}
within 60 "node3 says how its row came" told
[[ $row == '["repair","'"$trace"'"]' ]] || fail "node3's row says $row"

! grep -q "$secret" "$work/rotel.log" || fail "a span shows the client's key"
