#!/usr/bin/env bash
# The short mix of faults on three real nodes, with seeds that are looked at again in every run. Linux, as root; installs what
# this machine lacks (Debian).
# PROGRAMS: where the programs are (target/debug). SEEDS: which plans are run.
set -euo pipefail
cd "$(dirname "$0")/../.."
programs=${PROGRAMS:-target/debug}

declare -A package=([ip]=iproute2 [iptables]=iptables [mkfs.ext4]=e2fsprogs [nsenter]=util-linux [cc]=gcc)
missing=()
for command in "${!package[@]}"; do
    command -v "$command" >/dev/null || missing+=("${package[$command]}")
done
if ((${#missing[@]})); then
    apt-get -o Acquire::Retries=3 update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# A run that is killed leaves its networks and disks; the next one has to take them away.
left() { { ip netns list; cat /proc/self/mounts; ls "$programs/../tmp"; } | grep "chaos-$1-"; }
"$programs/chaos" --programs "$programs" --mix long >/dev/null &
killed=$!
until [[ $(ip netns pids "chaos-$killed-node3" 2>/dev/null | wc -l) == 4 ]]; do
    kill -0 "$killed"
    sleep 0.2
done
kill -KILL "$killed"
# Until it is waited for, its number is taken, and it looks as if it ran.
wait "$killed" 2>/dev/null || true
left "$killed" >/dev/null

for seed in ${SEEDS:-1}; do
    "$programs/chaos" --programs "$programs" --seed "$seed" --mix short
done
if left "$killed"; then
    echo "the run $killed was killed, and the next one left this of it" >&2
    exit 1
fi
