# Sourced: failing, and waiting for what comes true in time.

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

now_ms() { date +%s%3N; }

# within SECONDS WHAT COMMAND…: the command comes true in time.
within() {
    local deadline=$(($(now_ms) + $1 * 1000)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        (($(now_ms) < deadline)) || fail "$what: not in time"
        sleep 0.2
    done
}
