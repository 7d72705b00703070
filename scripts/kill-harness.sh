#!/usr/bin/env bash
# Kills the whole program (SIGKILL) at random moments of `run --quick`, sweeps, and checks that nothing is left: no child, no
# System V object, no name in /dev/shm, no file. About five minutes for 50 kills; exit code 1 at the first thing left.
#
#   scripts/kill-harness.sh [KILLS]      default 50
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${1:-50}
# A run --quick takes about this long.
within_ms=9000

cargo build --quiet --release -p bench-harness
program=$PWD/target/release/ipc-bench
TMPDIR=$(mktemp -d)
export TMPDIR
run=
trap '[ -z "$run" ] || kill -9 "$run" 2>/dev/null || true; rm -rf "$TMPDIR"' EXIT

# What is in the system now, as far as anybody may see it: keys of queues and segments, names.
objects() {
    awk 'FNR > 1 { print FILENAME, $1, $2 }' /proc/sysvipc/msg /proc/sysvipc/shm
    ls /dev/shm
    # Where it is mounted.
    ls /dev/mqueue 2>/dev/null || true
}
# How many processes of session $1 live, zombies aside (proc_pid_stat(5)).
alive() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | awk -v sid="$1" '$4 == sid && $1 != "Z" { n++ } END { print n + 0 }'
}
fail() { echo "kill $n after $ms ms: $*"; exit 1; }

swept=0
for ((n = 1; n <= kills; n++)); do
    before=$(objects)
    setsid "$program" run --quick --out "$TMPDIR/out" >/dev/null 2>&1 &
    run=$!
    ms=$((RANDOM * within_ms / 32768))
    sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
    kill -9 "$run" 2>/dev/null || true
    status=0
    { wait "$run" || status=$?; } 2>/dev/null
    # 128 + SIGKILL. Where the run had ended by itself nothing was killed.
    [ "$status" = 137 ] || { n=$((n - 1)); rm -rf "$TMPDIR/out"; continue; }
    for ((i = 0; i < 100; i++)); do [ "$(alive "$run")" != 0 ] || break; sleep 0.01; done
    [ "$(alive "$run")" = 0 ] || fail "$(alive "$run") processes of it live"
    run=
    found=$("$program" sweep --dry-run | grep -c '^found' || true)
    swept=$((swept + found))
    "$program" sweep >/dev/null
    [ "$("$program" sweep --dry-run --format json)" = "[]" ] || fail "still in the journal: $("$program" sweep --dry-run)"
    left=$(ls -A "$TMPDIR" | grep -vx out || true)
    [ -z "$left" ] || fail "left in the temporary folder: $left"
    # What others on this machine have just made goes again.
    for ((i = 0; i < 50; i++)); do
        new=$(comm -13 <(sort <<<"$before") <(objects | sort))
        [ -n "$new" ] || break
        sleep 0.1
    done
    [ -z "$new" ] || fail "left in the kernel: $new"
    rm -rf "$TMPDIR/out"
done
echo "$kills kills at random moments of run --quick: $swept objects swept, nothing left, no child lives"
