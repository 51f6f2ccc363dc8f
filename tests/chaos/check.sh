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
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

for seed in ${SEEDS:-1}; do
    "$programs/chaos" --programs "$programs" --seed "$seed" --mix short
done
