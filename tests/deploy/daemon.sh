#!/usr/bin/env bash
# `daemon.sh start` brings up a Docker daemon unless one answers; `daemon.sh stop` ends it if it was brought up here.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/deploy
pid_file=$work/dockerd.pid
mkdir -p "$work"

case ${1:-} in
start)
    docker info >/dev/null 2>&1 && exit 0
    setsid dockerd --pidfile "$pid_file" >"$work/dockerd.log" 2>&1 </dev/null &
    for _ in {1..60}; do
        docker info >/dev/null 2>&1 && exit 0
        sleep 0.5
    done
    echo "dockerd does not answer; the end of its log:" >&2
    tail -20 "$work/dockerd.log" >&2
    exit 1
    ;;
stop)
    [[ -s $pid_file ]] || exit 0
    pid=$(<"$pid_file")
    kill "$pid" 2>/dev/null || true
    for _ in {1..60}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.5
    done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$pid_file"
    ;;
*)
    echo "usage: daemon.sh start|stop" >&2
    exit 2
    ;;
esac
