#!/usr/bin/env bash
# libFuzzer on every target, or on those named: tests/fuzz/run.sh [TARGET…]. SECONDS_EACH=60 is how long, KEEP=1 saves the
# smallest set of inputs that reaches all that was reached. Needs a C++ compiler; the toolchain is the one of the repository.
# An input that breaks a promise is printed as a line for tests/fuzz/found/TARGET.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${SECONDS_EACH:-60}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
work=$(mktemp -d)
# Stores of targets live below it too.
export TMPDIR=$work
trap 'rm -rf "$work"' EXIT

# Only crates of this workspace are watched while they run: they are what is looked at, and the rest need not be built again.
export RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/watched.sh
cargo build --quiet -p fuzz --features fuzzer --bin fuzzer
fuzz=$target_dir/debug/fuzz
cp "$target_dir/debug/fuzzer" "$work/fuzzer"
unset RUSTC_WORKSPACE_WRAPPER
cargo build --quiet -p fuzz --bin fuzz

failed=0
for target in ${*:-$($fuzz list)}; do
    inputs=$work/$target
    mkdir -p "$inputs" "$work/smallest"
    "$fuzz" unpack "$target" "$inputs"
    export FUZZ_TARGET=$target
    echo "== $target: $seconds s"
    if ! "$work/fuzzer" "$inputs" -max_total_time="$seconds" -max_len=16384 -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$work/broken-$target-" -print_final_stats=1 >"$work/log" 2>&1; then
        failed=1
        grep -v "^#" "$work/log" | tail -40
    fi
    grep -E "^#[0-9]+.*(DONE|INITED)|stat::(number_of_executed_units|average_exec)" "$work/log" || true
    if [ "${KEEP:-}" = 1 ]; then
        "$work/fuzzer" -merge=1 "$work/smallest" "$inputs" >"$work/log" 2>&1 || tail -5 "$work/log"
        "$fuzz" pack "$target" "$work/smallest"
    fi
    rm -rf "$work/smallest" "$inputs"
done
for broken in "$work"/broken-*; do
    [ -e "$broken" ] || continue
    echo "$(basename "$broken"):"
    python3 -c 'import sys; print("".join(chr(b) if 32 <= b < 127 and b not in b"\\\"\x27" else "\\x%02x" % b for b in open(sys.argv[1], "rb").read()))' "$broken"
done
exit $failed
