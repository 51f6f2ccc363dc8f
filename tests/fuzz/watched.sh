#!/usr/bin/env bash
# A rustc whose code tells libFuzzer where it goes. Build scripts run by themselves and have nobody to tell.
case " $* " in
*" --crate-name build_script_"*) exec "$@" ;;
esac
exec "$@" -Cdebug-assertions -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
