#!/usr/bin/env bash
# Makes the reference run of this machine: builds, measures the complete plan and 400 kills a mechanism, and writes what came out to
# results/machines/NAME, ready to be committed. Ten minutes or so, on a machine that does nothing else.
#
#   scripts/reference.sh [--readme] [NAME]      by default a name is made of the processor, the hypervisor and the number of CPUs
#
#   --readme   README.md shows this reference from now on; without it, README.md changes where it shows this reference already
#
# A reference holds the CSV files, host.json, all.hlog, README.md and the charts. `ipc-bench report results/machines/NAME` makes the
# rest again. A reference of that name is replaced once everything was measured.
#
# Exit code: 0 done; 1 a copy or a fault that breaks its contract, and then nothing is replaced; 2 usage or environment; 130 or 143
# interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "reference: $*" >&2; exit 2; }

case ${1-} in -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0" && exit ;; esac
readme=no
[ "${1-}" != --readme ] || { readme=yes && shift; }
[ $# -le 1 ] || fail "'$2' is one argument too many"
name=${1-}
[[ $name =~ ^([a-z0-9][a-z0-9._-]*)?$ ]] || fail "'$name' is no name: use small letters, digits and '-'"
# What lies in results/ are figures, and no part of what is measured.
[ -z "$(git status --porcelain -- . ':(exclude)results')" ] ||
    fail "there are uncommitted changes: commit them, since a reference names the commit that it was measured at"

target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TARGET_DIR=$target cargo build --release --locked -p bench-harness --bin ipc-bench || fail "does not build"
bench=$target/release/ipc-bench
mkdir -p "$target/ipc-bench"
# Held by what measures: two would measure each other.
exec 8>"$target/ipc-bench/ci-latency.measuring"
flock -n 8 || { echo "another run is measuring: waiting for it" >&2 && flock 8; }
scratch=$(mktemp -d "$target/ipc-bench/reference.XXXXXX")
child=''
trap '[ -z "$child" ] || kill "$child" 2>/dev/null || true; rm -rf -- "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# In a folder of its own, so that the command in host.json needs no path.
measure() {
    (cd "$scratch" && exec "$bench" "$@") </dev/null &
    child=$!
    wait "$child"
    child=''
}
measure run
measure faults --kills 400
run=$scratch/results/latest

# The first value of a key in host.json $1.
fact() { sed -n "s/^ *\"$2\": \"\{0,1\}\([^\"]*[^\",]\)\"\{0,1\},\{0,1\}\$/\1/p" "$1" | sed -n 1p; }
if [ -z "$name" ]; then
    kind=$(fact "$run/host.json" hypervisor)
    [ "$kind" != null ] || kind=vm
    [ "$(fact "$run/host.json" virtual_machine)" = true ] || kind=metal
    model=$(fact "$run/host.json" model)
    name=$(printf '%s %s %scpu' "${model%%@*}" "$kind" "$(fact "$run/host.json" threads)" | tr '[:upper:]' '[:lower:]' |
        sed -E 's/\((r|tm)\)|\b(cpu|processor|[0-9]+-core)\b//g; s/[^a-z0-9]+/-/g; s/^-|-$//g')
fi

new=$scratch/$name
mkdir "$new"
cp -- "$run"/*.csv "$run/host.json" "$run/all.hlog" "$new/"
"$bench" report "$new" >/dev/null
rm -- "$new/report.html"
place=results/machines/$name
mkdir -p results/machines
rm -rf -- "$place"
mv -- "$new" "$place"
# The index.
{
    sed '/^<!-- machines -->$/q' results/README.md
    echo "| reference | processor | virtual | CPUs | kernel | measured |"
    echo "|---|---|---|--:|---|---|"
    for host in results/machines/*/host.json; do
        folder=${host%/host.json}
        started=$(fact "$host" started)
        echo "| [${folder##*/}](${folder#results/}/README.md) | $(fact "$host" model) | $(fact "$host" virtual_machine)" \
            "| $(fact "$host" threads) | $(fact "$host" release) | ${started%T*} |"
    done
    sed -n '/^<!-- \/machines -->$/,$p' results/README.md
} >"$scratch/index"
cp -- "$scratch/index" results/README.md
if [ "$readme" = yes ] || grep -q -- " of $place -->" README.md; then
    "$bench" report "$place" --blocks README.md
    rm -f -- "$place/report.html"
fi
echo "written to $place: look at it, then commit it with results/README.md"
