#!/usr/bin/env bash
# Runs every test binary again and again, quiet and beside busy processes, and lists what failed how often.
#
#   scripts/flaky.sh [N [FILTER]]      default 10; only binaries whose PACKAGE-KIND-NAME contains FILTER
#
# A binary that takes a second or longer runs N times, a faster one 20 N times. Half of the runs are quiet: one at a time. The
# other half run in parallel, one per processor, beside one busy process per processor.
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

# One line a binary: a name, the folder that cargo would start it in, the command.
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
    (cd "$folder" && exec timeout --kill-after=10 "$LIMIT_S" $command) >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ]; then rm "$log"; else echo "exit code $status" >>"$log"; fi
}
export -f run

list >"$OUT/binaries" || { cat "$OUT/build"; exit 2; }
mapfile -t binaries < <(awk -v filter="$filter" 'index($1, filter)' "$OUT/binaries")
[ ${#binaries[@]} != 0 ] || { echo "no binary is called '$filter': $(cut -d' ' -f1 "$OUT/binaries" | xargs)" >&2; exit 2; }
processors=$(nproc)
runs=()
echo "${#binaries[@]} binaries"
for i in "${!binaries[@]}"; do
    began=${EPOCHREALTIME/./}
    run quiet 1 "${binaries[i]}"
    took=$((${EPOCHREALTIME/./} - began))
    runs[i]=$((took < 1000000 ? 20 * n : n))
    printf '%6d.%01d s, %4d runs: %s\n' $((took / 1000000)) $((took / 100000 % 10)) "${runs[i]}" "${binaries[i]%% *}"
done
for i in "${!binaries[@]}"; do
    for ((k = 2; k <= (runs[i] + 1) / 2; k++)); do run quiet "$k" "${binaries[i]}"; done
done
echo "quiet: done after $SECONDS s"
for ((k = 0; k < processors; k++)); do
    while :; do :; done &
    busy+=($!)
done
for i in "${!binaries[@]}"; do
    for ((k = 1; k <= runs[i] / 2; k++)); do printf '%s\0%s\0' "$k" "${binaries[i]}"; done
done | xargs -0 -r -n 2 -P "$processors" bash -c 'run busy "$@"' run
echo "beside $processors busy processes: done after $SECONDS s"

# What failed, how often and where: the list at the end of a test binary's output, or the binary itself.
failed=0
for i in "${!binaries[@]}"; do
    name=${binaries[i]%% *}
    logs=("$OUT/$name".{quiet,busy}.*)
    [ -e "${logs[0]}" ] || [ -e "${logs[-1]}" ] || continue
    failed=1
    for log in "${logs[@]}"; do
        [ -e "$log" ] || continue
        tests=$(sed -n '/^failures:$/,/^test result/p' "$log" | sed -n 's/^    \([^ ]*\)$/\1/p' | sort -u)
        sed "s|^|$name: |" <<<"${tests:-$(tail -1 "$log")}"
    done | sort | uniq -c | while read -r times what; do echo "FAILED $times of ${runs[i]}: $what"; done
done
[ "$failed" = 0 ] || { echo "what they printed: $OUT"; exit 1; }
echo "nothing failed"
