#!/usr/bin/env bash
# Runs every test binary again and again, quiet and beside busy processes, and lists what failed how often.
#
#   scripts/flaky.sh [N [FILTER]]      default 10; only binaries whose PACKAGE-KIND-NAME contains FILTER
#
# A binary that takes a second or longer runs N times, a faster one 20 N times:
#
#   alone   the first run, with no other binary beside it
#   quiet   the rest of the first half, one binary per processor
#   busy    the second half, one binary per processor, beside one busy process per processor
#
# Exit code 1: something failed; what it printed is kept in target/flaky.
set -euo pipefail
cd "$(dirname "$0")/.."
n=${1:-10}
filter=${2:-}
if [[ $# -gt 2 || ! $n =~ ^[1-9][0-9]{0,3}$ ]]; then
    echo "usage: scripts/flaky.sh [N [FILTER]], with N from 1 to 9999 and not '$*'" >&2
    exit 2
fi
# A run that takes longer is hung.
export LIMIT_S=900
OUT=$(realpath -m "${CARGO_TARGET_DIR:-target}/flaky")
export OUT
rm -rf "$OUT"
mkdir -p "$OUT"
busy=()
trap '[ ${#busy[@]} = 0 ] || kill "${busy[@]}"' EXIT

# One line a binary: a name, the folder of its package, in which cargo would start it, the command.
list() {
    cargo test --workspace --locked --no-run --message-format=json 2>"$OUT/build" |
        sed -nE 's|.*"manifest_path":"([^"]*)/([^"/]*)/Cargo.toml".*"kind":\["([^"]*)".*"name":"([^"]*)","src_path".*"test":true\},"features.*"executable":"([^"]*)".*|\2-\3-\4 \1/\2 \5|p' | sort
    echo "doctests $PWD cargo test --workspace --locked --doc"
}
# One run: "NAME FOLDER COMMAND…" of phase $1, number $2. What it printed stays only where it failed.
run() {
    local phase=$1 number=$2 name folder log status=0
    read -r name folder command <<<"$3"
    log=$OUT/$name.$phase.$number
    # shellcheck disable=SC2086  # words of a command
    (cd "$folder" && CARGO_MANIFEST_DIR=$folder exec timeout --kill-after=10 "$LIMIT_S" $command) >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ]; then rm "$log"; else echo "exit code $status" >>"$log"; fi
}
export -f run

list >"$OUT/binaries" || { cat "$OUT/build"; exit 2; }
mapfile -t binaries < <(awk -v filter="$filter" 'index($1, filter)' "$OUT/binaries")
[ ${#binaries[@]} != 0 ] || { echo "no binary is called '$filter': $(cut -d' ' -f1 "$OUT/binaries" | xargs)" >&2; exit 2; }
processors=$(nproc)
echo "${#binaries[@]} binaries"
took=() runs=()
for i in "${!binaries[@]}"; do
    began=${EPOCHREALTIME/./}
    run alone 1 "${binaries[i]}"
    took[i]=$((${EPOCHREALTIME/./} - began))
    runs[i]=$((took[i] < 1000000 ? 20 * n : n))
    printf '%6d.%01d s, %4d runs: %s\n' $((took[i] / 1000000)) $((took[i] / 100000 % 10)) "${runs[i]}" "${binaries[i]%% *}"
done
# The longest first: one of them that came last would run on by itself.
mapfile -t order < <(for i in "${!binaries[@]}"; do echo "${took[i]} $i"; done | sort -rn | cut -d' ' -f2)
# The runs of phase $1, as many at once as there are processors.
repeat() {
    for i in "${order[@]}"; do
        half=$(((runs[i] + 1) / 2))
        case $1 in quiet) from=2 to=$half ;; busy) from=$((half + 1)) to=${runs[i]} ;; esac
        for ((k = from; k <= to; k++)); do printf '%s\0%s\0%s\0' "$1" "$k" "${binaries[i]}"; done
    done | xargs -0 -r -n 3 -P "$processors" bash -c 'run "$@"' run
    echo "$1: done after $SECONDS s"
}
echo "alone: done after $SECONDS s"
repeat quiet
for ((k = 0; k < processors; k++)); do
    while :; do :; done &
    busy+=($!)
done
repeat busy

# What failed, how often and where: the list at the end of a test binary's output, or the binary itself.
failed=0
shopt -s nullglob
for i in "${!binaries[@]}"; do
    name=${binaries[i]%% *}
    logs=("$OUT/$name".*)
    [ ${#logs[@]} != 0 ] || continue
    failed=1
    for log in "${logs[@]}"; do
        tests=$(sed -n '/^failures:$/,/^test result/p' "$log" | sed -n 's/^    \([^ ]*\)$/\1/p' | sort -u)
        sed "s|^|$name: |" <<<"${tests:-$(tail -1 "$log")}"
    done | sort | uniq -c | while read -r times what; do echo "FAILED $times of ${runs[i]}: $what"; done
done
[ "$failed" = 0 ] || { echo "what they printed: $OUT"; exit 1; }
echo "nothing failed"
