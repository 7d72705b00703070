#!/usr/bin/env bash
# Shows how often the regression gate is right: runs it where the answer is known beforehand, and counts. A trial takes as long as
# the gate, up to two minutes; each is added to results/gate-trials.csv at once, so that this can be interrupted (Ctrl-C) and called
# again until there are enough. Leave the machine alone meanwhile.
#
#   scripts/gate-trials.sh same       [OPTIONS]    the same build twice: nothing may be found       100 trials
#   scripts/gate-trials.sh shuffled   [OPTIONS]    the same source twice, three builds of each side    30
#                                                  with functions in another order: nothing may be found
#   scripts/gate-trials.sh slower-10  [OPTIONS]    one cell slowed down by 10 %, another each time   60
#   scripts/gate-trials.sh slower-5   [OPTIONS]    by 5 %                                            60
#   scripts/gate-trials.sh ring-copy  [OPTIONS]    scripts/regressions/ring-copy.patch in the head   20
#   scripts/gate-trials.sh pipe-call  [OPTIONS]    scripts/regressions/pipe-call.patch in the head   20
#   scripts/gate-trials.sh summary [--markdown] [--results DIR]
#
#   --builds N     builds of each side, their functions in another order each    default 1; of the patches 3; of shuffled 6,
#                  of which each trial draws three of either side (at least 3)
#   --count N      until so many trials of the kind are in the file
#   --minutes M    begin none that would end later than this
#   others         see `trials KIND --help`: --plan, --cell, --results
#
# All but the patches take what lies here, those HEAD. Exit code: 0 done, or the time is over; 2 a gate without a verdict, a
# torn file, a patch that is missing or does not apply; 130 interrupted.
set -euo pipefail
# In braces, so that it is read as a whole: the checkout may change meanwhile.
{
fail() { printf 'gate-trials: %s\n' "$*" >&2; exit 2; }
cd "$(dirname "$0")/.."
top=$(pwd -P)

kind=${1:-}
case $kind in
    same | slower-5 | slower-10) builds=1 ;;
    shuffled) builds=6 ;;
    ring-copy | pipe-call) builds=3 ;;
    summary) exec cargo run --quiet --release -p bench-gate-trials -- "$@" ;;
    -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0" && exit ;;
    *) fail "'$kind' is no kind of trial: use same, shuffled, slower-5, slower-10, ring-copy, pipe-call or summary" ;;
esac
shift
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --builds) builds=${2-} && shift ;;
        --builds=*) builds=${1#*=} ;;
        *) options+=("$1") ;;
    esac
    shift || fail "--builds needs a number"
done
[[ $builds =~ ^[1-9][0-9]?$ ]] || fail "'$builds' is no number of builds: use 1 to 99"
patch=$top/scripts/regressions/$kind.patch
case $kind in ring-copy | pipe-call) [ -f "$patch" ] || fail "scripts/regressions/$kind.patch is missing: it is the change to be found" ;; esac

target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
work=$target/ipc-bench/trials
mkdir -p "$work"
# Held by what is started below, too: two series would measure each other, and so would a run of scripts/ci-latency.sh.
exec 9>"$work/lock" 8>"$target/ipc-bench/ci-latency.measuring"
flock -n 9 || fail "another series is running here: wait for its end"

cargo build --quiet --release -p bench-harness --bin ipc-bench -p bench-gate-trials --bin trials
trials=$target/release/trials

# Paths of base and head are of one length everywhere, for they are part of a program and of its stack.
clean_up() {
    cd "$top"
    for side in base head; do
        rm -rf "${work:?}/$side"
        git worktree remove --force --force "$work/$side" 2>/dev/null || true
    done
}
# Builds $1, base or head, from the folder $2: `builds` programs, whose sections are shuffled by the numbers after $3, or 0. Flags after
# `--` are the last crate's alone, so that every further build merely links anew.
build() {
    local side=$1 from=$2 before=${3:-0} seed flags
    for ((seed = 1; seed <= builds; seed++)); do
        flags=()
        [ "$builds" = 1 ] || flags=(-C "link-arg=-Wl,--shuffle-sections=.text*=$((before + seed))")
        (cd "$from" && CARGO_TARGET_DIR=$work/target-$side CARGO_PROFILE_RELEASE_DEBUG=0 \
            cargo rustc --quiet --release --locked -p bench-harness --bin ipc-bench -- "${flags[@]}") ||
            fail "$side does not build; where the linker cannot shuffle sections, use --builds 1 (but for shuffled)"
        cp "$work/target-$side/release/ipc-bench" "$work/$kind-$side-$seed"
    done
    # A linker may take the option and do nothing.
    [ "$builds" = 1 ] || ! cmp -s "$work/$kind-$side-1" "$work/$kind-$side-2" ||
        fail "this linker does not shuffle sections: use --builds 1 (but for shuffled)"
}
case $kind in
    same | slower-*)
        if [ "$builds" = 1 ]; then cp "$target/release/ipc-bench" "$work/$kind-base-1"; else build base "$top"; fi
        for ((seed = 1; seed <= builds; seed++)); do cp "$work/$kind-base-$seed" "$work/$kind-head-$seed"; done
        ;;
    shuffled)
        build base "$top"
        build head "$top" "$builds"
        ;;
    *)
        # What the builds are of; those of an interrupted series are used again.
        of=$(git rev-parse HEAD && sha256sum <"$patch" && rustc -V && echo "$builds")
        if [ "$of" != "$(cat "$work/$kind.of" 2>/dev/null)" ]; then
            rm -f "$work/$kind.of"
            clean_up
            trap clean_up EXIT
            for side in base head; do git -c core.hooksPath=/dev/null worktree add --quiet --detach "$work/$side" HEAD; done
            git -C "$work/head" apply "$patch" || fail "scripts/regressions/$kind.patch does not apply to HEAD"
            echo "building base and head, $builds each" >&2
            for side in base head; do build "$side" "$work/$side"; done
            clean_up
            trap - EXIT
            echo "$of" >"$work/$kind.of"
        fi
        ;;
esac

sides=()
for side in base head; do
    for ((seed = 1; seed <= builds; seed++)); do sides+=("--$side" "$work/$kind-$side-$seed"); done
done
flock -n 8 || { echo "another run is measuring: waiting for it" >&2 && flock 8; }
exec "$trials" "$kind" "${sides[@]}" "${options[@]}"
}
