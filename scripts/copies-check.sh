#!/usr/bin/env bash
# Lets other tools count what `ipc-bench copies` counts, over the same messages: `strace -c -f` the system calls, valgrind's
# `dhat --mode=copy` the copies by memcpy and memmove that are not in-lined. Prints both beside ours, exits with 1 where they
# disagree, with 3 where a tool is missing (what the other says is printed first). What valgrind cannot run, for want of a
# system call, is named and no disagreement. Some minutes, most of them valgrind's.
#
#   scripts/copies-check.sh [FILTER] [MESSAGES]      default /4096/ 300
#
# What is counted is the difference between twice as many messages and as many, so that opening and closing cancel out. One
# process has both ends: the calls of sender and receiver are compared as one sum.
set -euo pipefail
cd "$(dirname "$0")/.."
filter=${1:-/4096/}
messages=${2:-300}
# A call that comes once in a hundred messages falls into either half.
tolerance=0.03

missing=()
for tool in strace valgrind; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
cargo build --quiet --release -p bench-harness --bin ipc-bench --example exchange
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
bench=$target/release/ipc-bench
exchange=$target/release/examples/exchange
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

has() { [[ " ${missing[*]-} " != *" $1 "* ]]; }
# System calls of $4 messages over mechanism $1 by access $3, but for those with which a closing end looks how far a thread of its
# own is: they come as often as it takes.
calls() {
    timeout 120 strace -f -e 'trace=!sched_yield,stat,statx,newfstatat' -c -S name -U calls,name -o "$out/strace" "$exchange" "$@" >/dev/null || return 1
    awk '$2 == "total" { print $1 }' "$out/strace"
}
# Bytes that they copied.
copied() {
    timeout 120 valgrind --tool=dhat --mode=copy --trace-children=yes --dhat-out-file=/dev/null "$exchange" "$@" 2>"$out/dhat" >/dev/null ||
        return 1
    sed -n 's/^.*Total: *\([0-9,]*\) bytes.*/\1/p' "$out/dhat" | tr -d ,
}
# How much a message of $1 bytes adds to what $2 counts.
each() {
    local unit=$1 count=$2 once twice
    shift 2
    once=$("$count" "$@" "$messages") && twice=$("$count" "$@" $((2 * messages))) && [ -n "$once" ] && [ -n "$twice" ] || return 1
    awk -v a="$once" -v b="$twice" -v n="$messages" -v unit="$unit" 'BEGIN { x = (b - a) / n / unit; printf "%.2f", x * x < 1e-5 ? 0 : x }'
}
agrees() { awk -v a="$1" -v b="$2" -v t="$tolerance" 'BEGIN { d = a - b; exit !(d <= t && d >= -t) }'; }

status=0
notes=()
# Sets `said`, and `status` where our figure $1 is another.
compare() {
    local ours=$1 tool=$2
    shift 2
    if ! has "$tool"; then
        said="no $tool"
    elif ! said=$(each "$@"); then
        # Valgrind says so of system calls that are newer than it.
        if [ "$tool" = valgrind ] && lacks=$(grep -om1 'unhandled .*syscall: .*' "$out/dhat"); then
            said="-"
            notes+=("$3 by $5 access: valgrind cannot run it ($lacks)")
        else
            said="$tool failed"
            status=1
        fi
    elif ! agrees "$ours" "$said"; then
        said="$said ≠"
        status=1
    fi
}

# Columns by name, for others may be added. A verdict on what is declared is not this script's.
"$bench" copies "$filter" --format csv >"$out/copies.csv" 2>/dev/null || [ $? = 1 ]
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { print $at["mechanism"], $at["size"], $at["access"], $at["syscalls_send"] + $at["syscalls_recv"], $at["user_copies"] }' \
    "$out/copies.csv" >"$out/ours"
printf '%-16s %7s %-9s %12s %8s %12s %8s\n' mechanism size access 'system calls' strace 'user copies' dhat
while read -r mechanism size access ours_calls ours_copies; do
    if [ -z "$ours_copies" ]; then
        printf '%-16s %7s %-9s not measured\n' "$mechanism" "$size" "$access"
        continue
    fi
    compare "$ours_calls" strace 1 calls "$mechanism" "$size" "$access"
    by_strace=$said
    compare "$ours_copies" valgrind "$size" copied "$mechanism" "$size" "$access"
    printf '%-16s %7s %-9s %12s %8s %12s %8s\n' "$mechanism" "$size" "$access" "$ours_calls" "$by_strace" "$ours_copies" "$said"
done <"$out/ours"
[ "${#notes[@]}" = 0 ] || printf 'not compared: %s\n' "${notes[@]}"
[ "$status" = 0 ] || { echo "disagreement (≠) or failure above"; exit 1; }
[ "${#missing[@]}" = 0 ] || { echo "not compared for want of: ${missing[*]}"; exit 3; }
echo "all that was compared agrees, within $tolerance"
