#!/usr/bin/env bash
# Runs a real Prometheus with our scrape configuration against the running three nodes, and asks it for every panel of the
# dashboard: each must have something to show. Grafana itself cannot be had everywhere; what it would ask can.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/deploy
PATH=$work/prometheus/usr/bin:$PATH
port=19090
data=$(mktemp -d "$work/prometheus-data.XXXXXX")

promtool check config ops/prometheus/prometheus.yml >/dev/null
# The published ports instead of the names that only the compose network knows.
sed -e 's/"node1:18180", "node2:18180", "node3:18180"/"localhost:18180", "localhost:18280", "localhost:18380"/' \
    -e 's/_interval: 5s/_interval: 1s/' -e 's/"(\[^:\]+):\.\*"/"[^:]+:(.*)"/' ops/prometheus/prometheus.yml >"$data/prometheus.yml"
prometheus --config.file "$data/prometheus.yml" --storage.tsdb.path "$data/tsdb" --web.listen-address "127.0.0.1:$port" \
    >"$data/log" 2>&1 &
trap 'kill $!; wait $! || true; rm -rf "$data"' EXIT

panels=$(jq -r '.panels[] | .title as $title | (.targets // [])[] | [$title, .expr] | @tsv' ops/grafana/dashboards/stemedb.json)
deadline=$((SECONDS + 120))
while IFS=$'\t' read -r title expression; do
    until curl --silent --fail --max-time 5 "http://127.0.0.1:$port/api/v1/query" \
        --data-urlencode "query=${expression//\$__rate_interval/30s}" | jq -e '.data.result | length > 0' >/dev/null; do
        if ((SECONDS >= deadline)); then
            echo "panel \"$title\" shows nothing: $expression" >&2
            tail -5 "$data/log" >&2
            exit 1
        fi
        sleep 0.5
    done
done <<<"$panels"
echo "   $(wc -l <<<"$panels") queries of the dashboard answered"
