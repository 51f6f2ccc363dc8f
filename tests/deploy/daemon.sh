#!/usr/bin/env bash
# `daemon.sh start` brings up a Docker daemon unless one answers; `daemon.sh stop` ends it if it was brought up here.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/deploy
pid_file=$work/dockerd.pid
mkdir -p "$work"

# running: the one that was brought up here, by its pid. A file that was left behind may name anybody by now.
running() {
    [[ -s $pid_file ]] && pid=$(<"$pid_file") && [[ $(readlink "/proc/$pid/exe" || true) == */dockerd* ]]
}

case ${1:-} in
start)
    docker info >/dev/null 2>&1 && exit 0
    # Twice: one that was killed leaves what the next one may stumble over, once.
    for _ in 1 2; do
        if ! running; then
            rm -f "$pid_file"
            setsid dockerd --pidfile "$pid_file" >"$work/dockerd.log" 2>&1 </dev/null &
            pid=$!
        fi
        until ((SECONDS >= 150)) || ! kill -0 "$pid" 2>/dev/null; do
            docker info >/dev/null 2>&1 && exit 0
            sleep 0.5
        done
    done
    echo "dockerd does not answer; the end of its log:" >&2
    tail -20 "$work/dockerd.log" >&2
    kill "$pid" 2>/dev/null || true
    exit 1
    ;;
stop)
    running || exit 0
    kill "$pid" 2>/dev/null || true
    for _ in {1..60}; do
        running || break
        sleep 0.5
    done
    ! running || kill -KILL "$pid" 2>/dev/null || true
    rm -f "$pid_file"
    ;;
*)
    echo "usage: daemon.sh start|stop" >&2
    exit 2
    ;;
esac
