#!/usr/bin/env bash
# Did a change make any mechanism slower? Builds it (head) and what it is compared with (base), each some times with its functions
# in another order, and lets `ipc-bench gate` of the head measure both in turns. A few minutes of building, then the plan's time.
#
#   scripts/ci-latency.sh [OPTIONS] [BASE_REV [HEAD_REV]] [-- GATE_OPTIONS...]
#
#   --plan smoke|twelve|full   how much is measured          default full
#   --filter TEXT              only cells whose name contains this
#   --builds N                 builds of each side           default 3
#   --out DIR                  where the reports go          default results/gate
#   --soft                     ends with 0 where it would end with 3 or 4, and warns: for a CI that shall stay green then
#
# Head is HEAD_REV. Without it, it is what lies here: HEAD with all uncommitted changes, new files that are not ignored included
# (but those to `results/`, which holds figures and no source, make no change by themselves).
# Base is BASE_REV. Without it, it is where head left the main branch (origin/HEAD, origin/main, main, origin/master or master,
# the first that there is). On the main branch itself it is HEAD where there are uncommitted changes, else the commit before.
#
# Where history was cut off (a shallow clone), what is missing is fetched, if there is a remote. Neither the checkout nor the index
# is touched; the builds lie in worktrees under the target folder, and go when this ends.
#
# Exit code: the gate's. 0 no regression; 1 a regression; 2 usage or environment, head does not build, cannot be measured or has
# other compiler flags than base (`-- --allow-other-flags` compares all the same); 3 inconclusive, also Ctrl-C; 4 no base, base
# does not build or cannot be measured.
#
# shellcheck disable=SC2329  # functions that traps and `run` call
set -euo pipefail
# In braces, so that it is read as a whole: who runs this may check out something else meanwhile.
{
say() { printf '%s\n' "$*" >&2; }
# Ends with code $1 and the reason, which also goes where a CI shows it.
fail() {
    local code=$1
    shift
    say "ci-latency: $*"
    [ -z "${GITHUB_STEP_SUMMARY:-}" ] || printf '**Latency gate**: %s\n' "$*" >>"$GITHUB_STEP_SUMMARY" || true
    finish "$code"
}
finish() {
    local code=$1
    if [ "$soft" = yes ] && { [ "$code" = 3 ] || [ "$code" = 4 ]; }; then
        local means=inconclusive
        [ "$code" = 3 ] || means="nothing to compare with"
        say "ci-latency: $means (exit code $code), which --soft lets pass"
        [ -z "${GITHUB_ACTIONS:-}" ] || echo "::warning title=Latency gate::$means: no verdict on this change (exit code $code)"
        code=0
    fi
    case $code in
        [0-4]) ;;
        *) say "ci-latency: ended with $code, which is no verdict" && code=2 ;;
    esac
    ended=yes
    exit "$code"
}
ended=no
trap '[ $ended = yes ] || exit 2' EXIT

soft=no
plan=full filter='' builds=3 out=''
revisions=() gate_options=()
while [ $# -gt 0 ]; do
    case $1 in
        --plan | --filter | --builds | --out)
            [ $# -ge 2 ] || fail 2 "$1 needs a value; see the beginning of $0"
            declare "${1#--}=$2"
            shift
            ;;
        --soft) soft=yes ;;
        -h | --help) sed -n '2,/^# shellcheck/{/^# shellcheck/!s/^# \{0,1\}//p}' "$0" && finish 0 ;;
        --) shift && gate_options=("$@") && break ;;
        -*) fail 2 "unknown option '$1'; see the beginning of $0" ;;
        *) revisions+=("$1") ;;
    esac
    shift
done
case $plan in smoke | twelve | full) ;; *) fail 2 "'$plan' is no plan: use smoke, twelve or full" ;; esac
[[ $builds =~ ^[1-9][0-9]?$ ]] || fail 2 "'$builds' is no number of builds: use 1 to 99"
[ ${#revisions[@]} -le 2 ] || fail 2 "a base and a head are all: '${revisions[2]}' is one revision too many"
[ -z "$out" ] || out=$(realpath -m -- "$out")

for tool in git cargo flock; do
    command -v "$tool" >/dev/null || fail 2 "no $tool here"
done
cd "$(dirname "$0")/.."
top=$(pwd -P)
# What git tells its hooks about the repository would hold for the worktrees, too.
while read -r variable; do
    case $variable in GIT_CONFIG*) ;; *) unset "$variable" ;; esac
done < <(git rev-parse --local-env-vars)
found=$(git rev-parse --show-toplevel 2>&1) || fail 2 "no base to find, as $top is no git repository to be used: ${found%%$'\n'*}"
git rev-parse --quiet --verify --end-of-options HEAD >/dev/null || ! git rev-parse --quiet --verify HEAD >/dev/null ||
    fail 2 "$(git --version) is too old: this needs 2.30 or newer"
[ "$found" = "$top" ] || fail 2 "$top is no git repository of its own, but a folder of $found"
work=$(realpath -m -- "${CARGO_TARGET_DIR:-target}")/ipc-bench
: "${out:=$top/results/gate}"
# What a run writes is no change of the head. (What is ignored is none anyhow, and `git add` objects to its name.)
paths=(.)
for folder in "${work%/ipc-bench}" "$out"; do
    case $folder in
        "$top"/?*) git check-ignore --quiet -- "$folder" || paths+=(":(exclude,literal)${folder#"$top"/}") ;;
    esac
done

# A child runs in a process group of its own, so that a signal reaches this script first, which passes it on and then cleans up.
child='' interrupted=no run=''
run() {
    local code=0
    set -m
    "$@" </dev/null &
    child=$!
    set +m
    wait "$child" || code=$?
    # A signal ends `wait` before the child, which may have something to say.
    while kill -0 "$child" 2>/dev/null; do
        code=0
        wait "$child" || code=$?
    done
    child=''
    [ "$interrupted" = no ] || return 3
    return "$code"
}
interrupt() {
    interrupted=yes
    if [ -n "$child" ]; then
        # Not SIGINT, which a script started in the background ignores, and so do its children.
        kill -TERM -- "-$child" 2>/dev/null || true
    else
        fail 3 "interrupted: inconclusive"
    fi
}
clean_up() {
    trap '' INT TERM HUP
    cd "$top"
    [ -z "$run" ] || discard "$run" || true
    [ "$ended" = yes ] || exit 2
}
# Removes the folder of a run, and what git knows of it.
discard() {
    local side
    rm -rf -- "$1" || return 1
    for side in base head; do git worktree remove --force --force "$1/$side" 2>/dev/null || true; done
    git update-ref -d "refs/ci-latency/${1##*.}"
}
trap clean_up EXIT
trap interrupt INT TERM HUP

# A folder for this run, locked as long as it or a child of it lives; those of killed runs go.
mkdir -p "$work" 2>/dev/null || fail 2 "cannot write to $work"
exec 8>"$work/ci-latency.lock"
flock 8
for left in "$work"/ci-latency.*/; do
    [ -d "$left" ] || continue
    if (exec 7>"$left/lock" && flock -n 7); then discard "${left%/}" || say "note: cannot remove $left"; fi
done
run=$(mktemp -d "$work/ci-latency.XXXXXX")
exec 9>"$run/lock"
flock 9
exec 8>&-

# The commit that $1 names, if it is here.
commit() { git rev-parse --verify --quiet --end-of-options "$1^{commit}"; }
shallow() { [ "$(git rev-parse --is-shallow-repository)" = true ]; }
remote() { git remote | grep -x origin || git remote | sed -n 1p; }
# Fetches $1, an object's name or a branch, from the remote and says which commit it is. A full clone stays one.
fetch() {
    local from tip ref=refs/ci-latency/${run##*.} depth=()
    from=$(remote)
    [ -n "$from" ] || return 1
    if shallow; then
        # `--depth` would cut off what lies here already.
        tip=$(git ls-remote "$from" "refs/heads/${1#"$from"/}" 2>/dev/null | cut -f1)
        [ -z "$tip" ] || ! commit "$tip" || return 0
        depth=(--depth=1)
    fi
    say "fetching $1 from $from"
    get "${depth[@]}" "$from" "+${1#"$from"/}:$ref" || return 1
    commit "$ref"
}
# Fetches more of the history until the command that is given finds in it what it looks for.
deepen() {
    local from more
    from=$(remote)
    [ -n "$from" ] || return 1
    say "fetching more of the history from $from"
    for more in 50 1000; do
        # What lies here need not be on a branch of the remote's, as the merge of a pull request is not.
        get "--deepen=$more" "$from" "$head" || true
        get "--deepen=$more" "$from" || return 1
        ! "$@" || return 0
    done
    return 1
}
get() { git fetch --quiet --no-tags --no-write-fetch-head "$@" 2>"$run/fetch"; }
why_not_fetched() {
    if [ -z "$(remote)" ]; then
        echo "; there is no remote to fetch it from"
    elif [ -s "$run/fetch" ]; then
        echo "; fetching failed: $(tail -n 2 "$run/fetch" | tr '\n' ' ')"
    fi
}

# ---- head
uncommitted() { git --no-optional-locks status --porcelain --untracked-files=normal -- "${paths[@]}" ':(exclude)results'; }
changes=''
if [ ${#revisions[@]} = 2 ]; then
    head=$(commit "${revisions[1]}") || fail 2 "unknown revision '${revisions[1]}'"
    head_is="${revisions[1]}"
else
    head=$(commit HEAD) || fail 4 "no commit yet, so nothing to compare with"
    head_is=HEAD
    changes=$(uncommitted) || fail 2 "git status failed"
    [ -z "$changes" ] || head_is="HEAD with uncommitted changes"
fi

# ---- base
# Commits that come before $1, as it says itself: a shallow clone knows no others.
parents() { git cat-file commit "$1" | sed -n '/^$/q;s/^parent //p'; }
main_branch() {
    local name
    for name in origin/HEAD origin/main main origin/master master; do
        ! commit "$name" >/dev/null || { echo "$name" && return; }
    done
    return 1
}
cut_off() { ! shallow || echo ", which is shallow"; }
default_base() {
    local main fork=$head
    if main=$(main_branch); then
        fork=$(git merge-base "$main" "$head") || fork=''
        if [ -z "$fork" ] && shallow; then fork=$(deepen git merge-base "$main" "$head") || fork=''; fi
        [ -n "$fork" ] || fail 4 "no base: HEAD and $main have no commit in common$(cut_off)"
    else
        say "note: no main branch is known here, so only the last commit is looked at; name a base to compare more with"
    fi
    base=$fork base_is="where HEAD left ${main-}"
    [ "$fork" = "$head" ] || return 0
    base_is=HEAD
    [ -z "$changes" ] || return 0
    local before
    before=$(parents "$head" | sed -n 1p)
    [ -n "$before" ] || fail 4 "no base: HEAD is the first commit"
    base_is="the commit before HEAD"
    base=$(commit "$before" || fetch "$before") ||
        fail 4 "no base: the commit before HEAD is not in this clone$(cut_off)$(why_not_fetched)"
}
given_base() {
    base_is=$1
    ! base=$(commit "$1") || return 0
    local name=${1%%[~^]*} before
    if [[ ${1#"$name"} =~ ^(~[0-9]*|\^1?)+$ ]] && commit "$name" >/dev/null; then
        before=$(parents "$name")
        [ -n "$before" ] || fail 4 "no base: $name is the first commit"
        shallow || fail 4 "no base: '$1' is before the first commit"
        base=$(deepen commit "$1")
    elif shallow || [[ $1 =~ ^[0-9a-f]{40}([0-9a-f]{24})?$ ]]; then
        base=$(fetch "$1")
    else
        fail 2 "unknown revision '$1'"
    fi || fail 4 "no base: '$1' is not in this clone$(cut_off)$(why_not_fetched)"
}
if [ ${#revisions[@]} = 0 ]; then default_base; else given_base "${revisions[0]}"; fi

short() { git rev-parse --short "$1"; }
say "base $(short "$base") ($base_is)"
say "head $(short "$head") ($head_is)"
if [ ${#revisions[@]} = 2 ] && [ -n "$(uncommitted)" ]; then
    say "note: uncommitted changes are not looked at, since a head is given"
fi
[ "$base" != "$head" ] || [ -n "$changes" ] || say "warning: base and head are the same commit: whatever is found is an error of the measurement"

if ! git diff --quiet "$base" "$head" -- .cargo rust-toolchain rust-toolchain.toml; then
    say "warning: base and head have another configuration of cargo or the toolchain, and both are built with that of $top"
fi

# ---- worktrees, with paths of equal length
tree_of() { git -c core.hooksPath=/dev/null worktree add --quiet --detach "$run/$1" "$2" >&2 || fail 2 "cannot make a worktree of $2"; }
tree_of base "$base"
tree_of head "$head"
if [ -n "$changes" ]; then
    # By an index of its own: the user's may have half of it staged, and stays as it is.
    cp -- "$(git rev-parse --git-path index)" "$run/index" 2>/dev/null || true
    GIT_INDEX_FILE=$run/index git -c advice.addEmbeddedRepo=false add --all -- "${paths[@]}" 2>"$run/add" ||
        fail 2 "cannot read the uncommitted changes: $(tail -n 2 "$run/add")"
    tree=$(GIT_INDEX_FILE=$run/index git write-tree)
    git -C "$run/head" read-tree --reset -u "$tree"
fi

# ---- builds
# Debug information is not loaded, but the gate copies the programs into memory. Flags after `--` are those of the last crate alone,
# so each further build only links anew, all crates' functions in another order.
export CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TERM_COLOR=never
build() {
    local side=$1 to=$run/$1-$2
    shift 2
    (cd "$run/$side" && CARGO_TARGET_DIR="$run/$side/target" exec cargo rustc --release --locked -p bench-harness --bin ipc-bench -- "$@") \
        >"$run/log" 2>&1 && cp -- "$(program_in "$run/$side/target")" "$to"
}
# With a target in its configuration cargo builds in a folder of that name.
program_in() {
    local file
    for file in "$1"/release/ipc-bench "$1"/*/release/ipc-bench; do
        [ ! -f "$file" ] || { echo "$file" && return; }
    done
    echo "no release/ipc-bench in $1" >>"$run/log"
}
must_build() {
    say "building $1"
    run build "$1" 0 && return
    [ "$interrupted" = no ] || fail 3 "interrupted while building: inconclusive"
    tail -n 25 "$run/log" >&2
    fail "$2" "$1 $(short "$3") does not build"
}
# Head first: what keeps both from building is not the base's fault.
must_build head 2 "$head"
must_build base 4 "$base"

shuffled() {
    local side seed
    for side in head base; do
        for ((seed = 1; seed <= builds; seed++)); do
            run build "$side" "$seed" -C "link-arg=-Wl,--shuffle-sections=.text*=$seed" || return 1
        done
        # A linker may take the option and do nothing.
        [ "$builds" = 1 ] || ! cmp -s "$run/$side-1" "$run/$side-2" || return 1
    done
}
sides=()
if shuffled; then
    for side in base head; do
        for ((seed = 1; seed <= builds; seed++)); do sides+=("--$side" "$run/$side-$seed"); done
    done
else
    [ "$interrupted" = no ] || fail 3 "interrupted while building: inconclusive"
    say "note: the linker does not shuffle sections, so there is one build of each side, and a difference may be one of layout"
    sides=(--base "$run/base-0" --head "$run/head-0")
fi
program=$run/head-0
"$program" gate --help >/dev/null 2>&1 || fail 2 "head $(short "$head") has no 'ipc-bench gate'"

# ---- the gate; one at a time, since two would measure each other
exec 8>"$work/ci-latency.measuring"
flock -n 8 || { say "another run is measuring: waiting for it" && run flock 8; } || fail 3 "interrupted while waiting: inconclusive"
code=0
rm -f -- "$out/gate.json" || fail 2 "cannot remove the report of an earlier run: $out/gate.json"
run "$program" gate "${sides[@]}" --plan "$plan" --out "$out" ${filter:+"$filter"} "${gate_options[@]}" || code=$?
# The program that judges is of the head, too: that it ends with 0 does not yet show that it measured.
[ "$code" != 0 ] || grep -q '"outcome":"passed"' "$out/gate.json" 2>/dev/null ||
    fail 2 "head $(short "$head") ended with 0 and left no report that says so: nothing was measured"
case $code in 0 | 1 | 3) say "reports: $out" ;; esac
finish "$code"
}
