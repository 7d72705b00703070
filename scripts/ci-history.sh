#!/usr/bin/env bash
# Measures what is checked out, adds the figures to the history that is kept on a branch of the remote, draws it, and pushes that as
# one commit. The branch has `history.csv`, `environments.json` and `charts/`, nothing of the sources. Some minutes of building, then the
# run's time.
#
#   scripts/ci-history.sh [BRANCH] [-- RUN_OPTIONS...]      default latency-history, a complete run
#
# Two at once lose no row: whose push comes second takes the other's history and adds its own again. The checkout stays as it is.
#
# Exit code: 0 kept; 1 as `ipc-bench run` ends with it, and then nothing is kept; 2 usage, environment or remote;
# 130 or 143 interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "ci-history: $*" >&2; exit 2; }

case ${1-} in -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0" && exit ;; esac
branch=latency-history
[ $# = 0 ] || [ "$1" = -- ] || { branch=$1 && shift; }
[ $# = 0 ] || [ "$1" = -- ] || fail "'$1' is one argument too many: options of the run come after --"
[ $# = 0 ] || shift
git check-ref-format --branch "$branch" >/dev/null 2>&1 || fail "'$branch' is no name of a branch"
remote=$(git remote | grep -x origin || git remote | sed -n 1p)
[ -n "$remote" ] || fail "no remote to keep the history on"

target=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")
CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TARGET_DIR=$target cargo build --release --locked -p bench-harness --bin ipc-bench || fail "does not build"
bench=$target/release/ipc-bench
mkdir -p "$target/ipc-bench"
# Held by what measures: two would measure each other, and so would a run of scripts/ci-latency.sh.
exec 8>"$target/ipc-bench/ci-latency.measuring"
flock -n 8 || { echo "another run is measuring: waiting for it" >&2 && flock 8; }
discard() { rm -rf -- "$1" && git update-ref -d "refs/ci-history/${1##*.}"; }
# A folder for this run, locked as long as it lives; those of killed runs go.
for left in "$target"/ipc-bench/ci-history.*/; do
    [ -d "$left" ] || continue
    if (exec 7>"$left/lock" && flock -n 7); then discard "${left%/}"; fi
done
scratch=$(mktemp -d "$target/ipc-bench/ci-history.XXXXXX")
exec 9>"$scratch/lock"
flock 9
ref=refs/ci-history/${scratch##*.}
child=''
trap '[ -z "$child" ] || kill "$child" 2>/dev/null || true; discard "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"$bench" run --out "$scratch/results" "$@" </dev/null &
child=$!
wait "$child"
child=''
exec 8>&-

export GIT_AUTHOR_NAME="${GIT_AUTHOR_NAME:-latency history}" GIT_AUTHOR_EMAIL="${GIT_AUTHOR_EMAIL:-latency-history@localhost}"
export GIT_COMMITTER_NAME="$GIT_AUTHOR_NAME" GIT_COMMITTER_EMAIL="$GIT_AUTHOR_EMAIL"
revision=$(git rev-parse --short HEAD)
# A full clone stays one.
depth=()
[ "$(git rev-parse --is-shallow-repository)" = false ] || depth=(--depth=1)
for ((try = 1; try <= 5; try++)); do
    rm -rf "$scratch/tree" "$scratch/index" && mkdir "$scratch/tree"
    parent=()
    # 2: there is no such branch yet. Anything else must not look like an empty history.
    code=0
    git ls-remote --exit-code "$remote" "refs/heads/$branch" >/dev/null || code=$?
    case $code in
        0)
            git fetch --quiet --no-tags --no-write-fetch-head "${depth[@]}" "$remote" "+refs/heads/$branch:$ref" || fail "cannot fetch $branch"
            git archive "$ref" | tar -x -C "$scratch/tree"
            [ -s "$scratch/tree/history.csv" ] || fail "branch $branch has no history.csv, so it is not one of a history"
            parent=(-p "$(git rev-parse "$ref")")
            ;;
        2) ;;
        *) fail "cannot reach $remote" ;;
    esac
    "$bench" history add "$scratch/results" --history "$scratch/tree/history.csv" || fail "the figures could not be added"
    "$bench" history plot --history "$scratch/tree/history.csv" --out "$scratch/tree/charts" || fail "the history could not be drawn"
    GIT_INDEX_FILE=$scratch/index git --work-tree="$scratch/tree" add --all --force -- "$scratch/tree"
    tree=$(GIT_INDEX_FILE=$scratch/index git write-tree)
    commit=$(git commit-tree "$tree" "${parent[@]}" -m "Figures of $revision")
    # Not by force: a branch that has moved on refuses.
    ! git push --quiet "$remote" "$commit:refs/heads/$branch" || { echo "kept on branch $branch of $remote" && exit; }
    echo "branch $branch has moved on, or cannot be pushed: once more" >&2
    sleep "$((try - 1))"
done
fail "could not push to $branch"
