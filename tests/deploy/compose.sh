#!/usr/bin/env bash
# compose.yaml as people use it: build, up, claims in, a node killed, answers go on, the node back, everything anew, down.
# Prints what it took. Needs a Docker daemon and the base images (daemon.sh, bases.sh), and ports 18180–18381 free.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/deploy/within.sh
work=$PWD/target/deploy
mkdir -p "$work"
export DOCKER_CONFIG=$work/docker DOCKER_BUILDKIT=1
# No collector is there: without an endpoint no traces.
export OTEL_EXPORTER_OTLP_ENDPOINT=

project=stemedb-try
nodes=(node1 node2 node3)
api=(18180 18280 18380)
claims=20000
more_claims=2000
compose() { docker compose --project-name "$project" --file compose.yaml --file tests/deploy/compose.ci.yaml --progress quiet "$@"; }

began=$(now_ms)
# took WHAT: prints the time since the last call.
took() {
    local now
    now=$(now_ms)
    printf '   %-58s %6d.%d s\n' "$1" $(((now - began) / 1000)) $(((now - began) % 1000 / 100))
    began=$now
}

down() { compose down --volumes --timeout 20 >/dev/null 2>&1 || true; }
end() {
    local code=$?
    if ((code)); then
        compose ps --all >&2 || true
        compose logs --tail 15 >&2 || true
    fi
    down
    exit "$code"
}
trap end EXIT

get() { curl --silent --fail --max-time 10 "http://127.0.0.1:$1"; }
ready() { get "$1/v1/health"; }
# status PORT NODE STATUS: what the gateway at that port says of a member.
status() { get "$1/cluster/members" | jq -e --arg id "$2" --arg status "$3" '.members[] | select(.id == $id) | .status == $status'; }
all_up() {
    local node
    for node in "${nodes[@]}"; do status "$1" "$node" UP || return 1; done
}
# equal COUNT: all owners have the same, and that many records there are.
equal() {
    # It waits for a store that is slow.
    curl --silent --fail --max-time 60 http://127.0.0.1:18181/cluster/verify |
        jq -e --argjson count "$1" '.equal and .distinct_records == $count'
}

water='v1/query?subject=cas:7732-18-5&predicate=boiling_point_k'
# answer PORT: what a lens says of all there is, without who said it.
answer() { answer=$(get "$1/$water&lens=skeptic" | jq -eS 'select(.meta.complete) | .result'); }
# answers_alike PORT…: all say the same, which is kept to compare with.
answers_alike() {
    local port
    answer "$1" && before=$answer || return 1
    for port in "$@"; do answer "$port" && [[ $answer == "$before" ]] || return 1; done
}
has_metrics() {
    # The page is taken whole: a reader that leaves at its first match ends the writer with a broken pipe.
    grep "service=\"$1\"" <<<"$(get 18180/metrics)"
}

# stemedb ARGUMENTS…: the command from the image, in the cluster's network.
stemedb() {
    docker run --rm --interactive --network "${project}_default" --read-only --cap-drop ALL stemedb stemedb "$@"
}
urls=(--url "http://node1:18180,http://node2:18180,http://node3:18180")

echo "== image"
down
compose build
took "built"
docker image inspect --format '{{.Size}}' stemedb | awk '{printf "   size %.1f MB\n", $1 / 1e6}'
[[ $(docker image inspect --format '{{.Config.User}}' stemedb) == 65532:65532 ]] || fail "the image runs as root"
for binary in stemedb stemedb-gateway stemedb-store stemedb-membership stemedb-antientropy; do
    docker run --rm stemedb "$binary" --version
done
took "five binaries answer"
# What Kubernetes will give the pods, judged by who reads it.
for settings in k8s/base/config.toml k8s/overlays/*/config.toml; do
    docker run --rm --env STEMEDB_CONFIG=/etc/stemedb/config.toml --env STEMEDB_NODE_ID=stemedb-0 \
        --volume "$PWD/$settings:/etc/stemedb/config.toml:ro" \
        --volume "$PWD/$settings:/run/secrets/stemedb/cluster-secret:ro" stemedb stemedb config check >/dev/null
done
took "settings of all manifests accepted"

echo "== three nodes"
compose up --build --detach --wait --wait-timeout 300
took "up, twelve containers healthy"
for port in "${api[@]}"; do within 60 "node at $port ready" ready "$port"; done
within 60 "three members UP" all_up 18181
took "three nodes ready and UP"

echo "== claims"
zcat bench/data/chem-claims.ndjson.gz | { head -n "$claims"; cat >/dev/null; } | stemedb import - "${urls[@]}" | tail -5
took "$claims claims in"
within 120 "owners equal" equal "$claims"
took "owners equal"
within 60 "the same answer from all" answers_alike "${api[@]}"
for service in gateway store membership antientropy; do
    within 30 "metrics of $service" has_metrics "$service"
done
tests/deploy/panels.sh
docker stats --no-stream --format '   {{.Name}} {{.MemUsage}} {{.CPUPerc}}' $(compose ps --quiet) | sort
took "answers alike, metrics of all four services, panels"

echo "== node2 is killed"
victims=(node2-gateway node2-store node2-membership node2-antientropy)
compose kill "${victims[@]}"
for port in 18180 18380; do
    within 30 "a whole answer at $port" answer "$port"
    [[ $answer == "$before" ]] || fail "another answer at $port"
done
took "killed; the other two answer the same"
for port in 18181 18381; do within 60 "node2 DOWN at $port" status "$port" node2 DOWN; done
took "DOWN everywhere"
zcat bench/data/chem-claims.ndjson.gz | { tail -n "$more_claims"; } |
    stemedb import - --url http://node1:18180,http://node3:18180 | tail -5
took "$more_claims more claims in"

echo "== node2 is back"
compose up --detach --wait --wait-timeout 300
took "started and healthy"
within 60 "three members UP" all_up 18281
total=$((claims + more_claims))
within 120 "owners equal" equal "$total"
took "owners equal, $total records"
within 60 "the same answer from all" answers_alike "${api[@]}"

echo "== all anew, on the same volumes"
compose down --timeout 20
took "stopped and removed"
compose up --detach --wait --wait-timeout 300
within 60 "three members UP" all_up 18181
within 120 "owners equal" equal "$total"
within 60 "the same answer from all" answers_alike "${api[@]}"
took "up with new containers, owners equal"
down
took "down, volumes removed"
