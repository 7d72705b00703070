#!/usr/bin/env bash
# Tests scripts/ci-latency.sh and `ipc-bench ci` in scratch repositories, with a compiler that takes no time: `cargo` of this file
# comes first in PATH, and what it "builds" is a script that notes how it is called. Some seconds; exit code 1 and the names where
# tests fail.
#
#   scripts/tests/ci-latency.sh [FILTER]
#
# IPC_BENCH names the program to test; without it, it is built.
# shellcheck disable=SC2329  # the tests are called by name
set -euo pipefail
script=$(realpath "$(dirname "$0")/../ci-latency.sh")
filter=${1:-}
# What a caller's shell or CI has set is no part of a test.
if [ -z "${IPC_BENCH:-}" ]; then
    top=$(realpath "$(dirname "$0")/../..")
    (cd "$top" && cargo build --quiet --locked -p bench-harness --bin ipc-bench)
    IPC_BENCH=$(cd "$top" && realpath "${CARGO_TARGET_DIR:-target}/debug/ipc-bench")
fi
export IPC_BENCH
unset CARGO_TARGET_DIR GITHUB_STEP_SUMMARY GITHUB_ACTIONS
while read -r variable; do unset "$variable"; done < <(git rev-parse --local-env-vars)
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
all=$(realpath "$(mktemp -d)")
trap 'rm -rf "$all"' EXIT

mkdir "$all/bin"
cat >"$all/bin/cargo" <<'CARGO'
#!/usr/bin/env bash
# Stands in for cargo: builds a script out of the file `source`.
echo "$PWD|$CARGO_PROFILE_RELEASE_DEBUG|$*" >>"$SCRATCH/cargo"
while [ -e "$SCRATCH/hold-cargo" ]; do sleep 0.02; done
grep -q broken source && { echo "error: this source is broken"; exit 101; }
arguments=$*
seed=${arguments##*=}
case $*,${LINKER:-} in
    *shuffle*,refuses) echo "error: linking failed: unknown option"; exit 101 ;;
    *shuffle*,ignores) seed='' ;;
    *shuffle*) ;;
    *) seed='' ;;
esac
mkdir -p "$CARGO_TARGET_DIR/release"
{
    cat <<'PROGRAM'
#!/usr/bin/env bash
# Stands in for ipc-bench.
grep -q "^#: gateless" "$0" && exit 2
[ "$*" != "gate --help" ] || exit 0
[ ! -e "$SCRATCH/measuring" ] || echo overlap >>"$SCRATCH/overlaps"
touch "$SCRATCH/measuring"
trap 'echo interrupted >>"$SCRATCH/interrupted"; rm -f "$SCRATCH/measuring"; exit 3' TERM
echo $$ >"$SCRATCH/gate-pid"
echo "$0 $*" >>"$SCRATCH/gate"
while [ $# -gt 0 ]; do
    case $1 in
        --base | --head) sed -n "s/^#: /$1 /p" "$2" >>"$SCRATCH/sides" ;;
        --out) mkdir -p "$2" && [ -n "${NO_REPORT:-}" ] || echo '{"outcome":"passed"}' >"$2/gate.json" ;;
    esac
    shift
done
while [ -e "$SCRATCH/hold-gate" ]; do sleep 0.02; done
sleep "${GATE_TAKES:-0}"
rm -f "$SCRATCH/measuring"
exit "${GATE:-0}"
PROGRAM
    echo "#: $(tr '\n' ' ' <source)$(cat new 2>/dev/null)$(cat ignored 2>/dev/null) seed=$seed"
} >"$CARGO_TARGET_DIR/release/ipc-bench"
chmod +x "$CARGO_TARGET_DIR/release/ipc-bench"
CARGO
chmod +x "$all/bin/cargo"
export PATH=$all/bin:$PATH

# A fresh repository in $repo, on its branch main, with $1 commits whose sources are `one`, `two`, ...
repository() {
    repo=$SCRATCH/repo
    git init -q -b main "$repo"
    cd "$repo"
    printf '/target\n/ignored\n/results/gate\n' >.gitignore
    mkdir scripts results
    cp "$script" scripts/
    echo 1 >results/figures
    local source
    for source in one two three; do
        [ "$1" -gt 0 ] || break
        set -- $(($1 - 1))
        change "$source"
    done
}
change() { echo "$1" >source && git add -A && git commit -q -m "$1"; }
# Runs the script of $repo: its output is in $SCRATCH/out, its exit code must be $1.
latency() {
    local expected=$1 code=0
    shift
    "$repo/scripts/ci-latency.sh" "$@" >"$SCRATCH/out" 2>&1 || code=$?
    [ "$code" = "$expected" ] || fail "exit code $code instead of $expected"
    clean
}
# Nothing of a run may be left.
clean() {
    local left
    left=$(find "$repo/target/ipc-bench" -maxdepth 1 -name 'ci-latency.*' -type d 2>/dev/null || true)
    [ -z "$left" ] || fail "left: $left"
    [ ! -e "$repo/.git" ] || [ "$(git -C "$repo" worktree list | wc -l)" = 1 ] || fail "worktrees left: $(git -C "$repo" worktree list)"
    [ ! -e "$repo/.git" ] || [ -z "$(git -C "$repo" for-each-ref refs/ci-latency)" ] || fail "references left"
}
says() { grep -qF -- "$1" "$SCRATCH/out" || fail "does not say '$1'"; }
# What the gate was given: each argument is a line.
sides() { diff <(printf '%s\n' "$@") "$SCRATCH/sides" || fail "other sides (<: expected)"; }
fail() {
    echo "    line ${BASH_LINENO[1]}/${BASH_LINENO[0]}: $*"
    [ ! -s "$SCRATCH/out" ] || sed 's/^/    | /' "$SCRATCH/out"
    exit 1
}
# Waits until the command holds.
until_() {
    local tries
    for ((tries = 0; tries < 500; tries++)); do
        ! "$@" || return 0
        sleep 0.02
    done
    fail "waited in vain: $*"
}

two_revisions_from_any_directory() {
    repository 3
    cd /
    latency 0 HEAD~2 HEAD~1 --builds 2 --plan smoke --filter latency/pipe --out "$SCRATCH/reports" -- --seed 7
    sides "--base one  seed=1" "--base one  seed=2" "--head two  seed=1" "--head two  seed=2"
    grep -qE "head-0 gate .* --plan smoke --out $SCRATCH/reports latency/pipe --seed 7$" "$SCRATCH/gate" || fail "$(cat "$SCRATCH/gate")"
    [ -s "$SCRATCH/reports/gate.json" ] || fail "no report"
}
both_sides_are_built_alike() {
    repository 2
    latency 0 HEAD~1 HEAD
    # The same calls for both, in folders whose names are of one length, without debug information.
    local side
    for side in base head; do
        sed -n "s|^[^|]*/\(ci-latency\.[^/]*\)/$side||p" "$SCRATCH/cargo" | sort >"$SCRATCH/$side"
    done
    [ "$(wc -l <"$SCRATCH/head")" = 4 ] || fail "builds: $(cat "$SCRATCH/cargo")"
    diff "$SCRATCH/base" "$SCRATCH/head" || fail "built differently"
    ! grep -v '^|0|rustc --release --locked ' "$SCRATCH/head" || fail "other flags"
    awk -F'|' '{ print length($1) }' "$SCRATCH/cargo" | sort -u | wc -l | grep -qx 1 || fail "paths of different lengths"
}
a_relative_out_is_relative_to_the_caller() {
    repository 2
    mkdir "$SCRATCH/elsewhere" && cd "$SCRATCH/elsewhere"
    latency 0 HEAD~1 HEAD --out reports
    [ -s "$SCRATCH/elsewhere/reports/gate.json" ] || fail "no report"
}
the_target_folder_may_lie_elsewhere() {
    repository 2
    CARGO_TARGET_DIR=$SCRATCH/target latency 0
    [ -s results/gate/gate.json ] && [ ! -e target ] || fail "reports are elsewhere"
}
the_exit_code_is_the_gates() {
    repository 2
    local code
    for code in 0 1 2 3 4; do GATE=$code latency "$code"; done
    [ -s results/gate/gate.json ] || fail "no report"
}
a_head_that_ends_well_and_measures_nothing_is_red() {
    repository 2
    latency 0
    # The report of the run before is no evidence.
    NO_REPORT=yes latency 2 --soft
    says "nothing was measured"
    [ ! -e target/ipc-bench/gate/gate.json ] || fail "the report of another run is left"
}
soft_lets_pass_what_is_no_verdict() {
    repository 2
    local code
    for code in 3 4; do
        GATE=$code GITHUB_ACTIONS=true latency 0 --soft
        says "::warning"
        says "exit code $code"
    done
    for code in 0 1 2; do GATE=$code latency "$code" --soft; done
    latency 2 --soft nonsense
}
without_changes_the_commit_before() {
    repository 3
    latency 0 --builds 1
    sides "--base two  seed=1" "--head three  seed=1"
}
a_branch_is_compared_with_where_it_left_main() {
    repository 1
    git checkout -q -b feature && change a && change b
    git checkout -q main && change two && git checkout -q feature
    latency 0 --builds 1
    says "where HEAD left main"
    sides "--base one  seed=1" "--head b  seed=1"
}
uncommitted_changes_are_the_head() {
    repository 2
    echo staged >source && git add source && echo edited >source
    echo new >new && echo ignored >ignored
    cp .git/index "$SCRATCH/index"
    git status --porcelain >"$SCRATCH/status"
    cp .git/index "$SCRATCH/index"
    cd scripts
    latency 0 --builds 1
    cd ..
    says "HEAD with uncommitted changes"
    sides "--base two  seed=1" "--head edited new seed=1"
    cmp .git/index "$SCRATCH/index" || fail "the index is another"
    git status --porcelain | diff - "$SCRATCH/status" || fail "the checkout is another"
    [ "$(git rev-list --all --count)" = 2 ] || fail "there are other commits"
    # A base alone leaves the head what it is.
    rm "$SCRATCH/sides"
    latency 0 --builds 1 HEAD~1
    sides "--base one  seed=1" "--head edited new seed=1"
    # A head that is given is a commit.
    rm "$SCRATCH/sides"
    latency 0 --builds 1 HEAD~1 HEAD
    says "uncommitted changes are not looked at"
    sides "--base one  seed=1" "--head two  seed=1"
}
what_a_run_writes_is_no_change() {
    repository 2
    local tries
    for tries in first second; do
        rm -f "$SCRATCH/sides"
        CARGO_TARGET_DIR=build latency_in build 0 --builds 1 --out reports
        sides "--base one  seed=1" "--head two  seed=1"
    done
    # And what the user has told git not to show is one.
    git config status.showUntrackedFiles no
    echo new >new && rm "$SCRATCH/sides"
    latency 0 --builds 1 --out reports
    sides "--base two  seed=1" "--head two new seed=1"
}
# As `latency`, where the target folder is another.
latency_in() {
    local target=$1
    shift
    latency "$@"
    [ -z "$(find "$repo/$target/ipc-bench" -maxdepth 1 -name 'ci-latency.*' -type d)" ] || fail "left something in $target"
}
a_deleted_file_is_a_change() {
    repository 1
    change two && echo new >new && git add new && git commit -q -m new && rm new
    latency 0 --builds 1
    sides "--base two new seed=1" "--head two  seed=1"
}
other_results_are_no_change() {
    repository 2
    echo 2 >results/figures
    latency 0 --builds 1
    sides "--base one  seed=1" "--head two  seed=1"
}
the_first_commit_has_no_base() {
    repository 1
    GITHUB_STEP_SUMMARY=$SCRATCH/summary latency 4
    says "no base: HEAD is the first commit"
    grep -q "no base" "$SCRATCH/summary" || fail "the summary does not say so"
    latency 4 HEAD~1 HEAD
    says "no base: HEAD is the first commit"
    repository_of_no_commit
    latency 4
    says "no commit yet"
}
repository_of_no_commit() { rm -rf "$repo" && repository 0; }
before_the_first_commit_there_is_no_base() {
    repository 2
    latency 4 HEAD~2 HEAD
    says "before the first commit"
    latency 2 'HEAD^2' HEAD
    says "unknown revision 'HEAD^2'"
}
unrelated_histories_have_no_base() {
    repository 1
    git checkout -q --orphan other && change a
    latency 4
    says "no commit in common"
}
unknown_revisions() {
    repository 2
    latency 2 nonsense HEAD
    says "unknown revision 'nonsense'"
    latency 2 HEAD nonsense
    says "unknown revision 'nonsense'"
    # Well-formed, so perhaps lost; there is no remote to ask.
    latency 4 1234567890123456789012345678901234567890
    says "no remote"
}
no_git_repository() {
    repository 1
    rm -rf .git
    latency 2
    says "no git repository"
    mkdir "$SCRATCH/other" && git init -q "$SCRATCH/other" && mv "$repo" "$SCRATCH/other/unpacked"
    cd / && repo=$SCRATCH/other/unpacked
    latency 2
    says "a folder of $SCRATCH/other"
}
what_does_not_build() {
    repository 1
    change broken && change three
    latency 4 HEAD~1 HEAD
    says "error: this source is broken"
    says "does not build"
    latency 2 HEAD~2 HEAD~1
    says "error: this source is broken"
    # What keeps both from building is not the base's fault.
    latency 2 HEAD~1 HEAD~1
    [ ! -e "$SCRATCH/gate" ] || fail "the gate ran"
}
one_commit_twice_is_said_and_run() {
    repository 2
    latency 0 --builds 1 HEAD HEAD
    says "the same commit"
    sides "--base two  seed=1" "--head two  seed=1"
}
a_head_older_than_the_gate() {
    repository 2
    change gateless
    latency 2
    says "has no 'ipc-bench gate'"
}
a_linker_that_does_not_shuffle() {
    repository 2
    local linker
    for linker in refuses ignores; do
        rm -f "$SCRATCH/sides"
        LINKER=$linker latency 0
        says "the linker does not shuffle"
        sides "--base one  seed=" "--head two  seed="
    done
}
# A clone of $repo's last commit alone, which becomes $repo.
cut_off() {
    git clone -q --depth 1 "file://$repo" "$SCRATCH/clone"
    cd "$SCRATCH/clone" && repo=$SCRATCH/clone
    [ "$(git rev-list --all --count)" = 1 ] || fail "not shallow"
}
a_shallow_clone_fetches_its_base() {
    repository 3
    local base
    base=$(git rev-parse HEAD~2)
    git branch aside HEAD~2
    cut_off
    latency 4 nonsense HEAD
    says "'nonsense' is not in this clone"
    latency 0 --builds 1
    sides "--base two  seed=1" "--head three  seed=1"
    rm "$SCRATCH/sides"
    latency 0 --builds 1 "$base" HEAD
    sides "--base one  seed=1" "--head three  seed=1"
    rm "$SCRATCH/sides"
    latency 0 --builds 1 aside HEAD
    sides "--base one  seed=1" "--head three  seed=1"
    rm "$SCRATCH/sides"
    latency 0 --builds 1 HEAD~2 HEAD
    sides "--base one  seed=1" "--head three  seed=1"
}
a_shallow_branch_finds_where_it_left_main() {
    repository 1
    git checkout -q -b feature && change a && change b
    git checkout -q main && change two
    git clone -q --branch feature --no-single-branch --depth 1 "file://$repo" "$SCRATCH/clone"
    cd "$SCRATCH/clone" && repo=$SCRATCH/clone
    latency 0 --builds 1
    sides "--base one  seed=1" "--head b  seed=1"
}
a_shallow_clone_keeps_the_history_that_it_has() {
    repository 3
    change four && git branch aside HEAD~2
    git clone -q --depth 3 "file://$repo" "$SCRATCH/clone"
    cd "$SCRATCH/clone" && repo=$SCRATCH/clone
    latency 0 --builds 1 aside HEAD
    sides "--base two  seed=1" "--head four  seed=1"
    [ "$(git rev-list --count HEAD)" = 3 ] || fail "$(git rev-list --count HEAD) commits are left of 3"
}
the_only_branch_of_a_clone_is_looked_at_in_part_and_says_so() {
    repository 2
    git checkout -q -b feature && change a && change b && git checkout -q main
    git clone -q --depth 1 --branch feature "file://$repo" "$SCRATCH/clone"
    cd "$SCRATCH/clone" && repo=$SCRATCH/clone
    latency 0 --builds 1
    says "only the last commit is looked at"
    sides "--base a  seed=1" "--head b  seed=1"
}
other_worktrees_stay() {
    repository 2
    git worktree add -q "$SCRATCH/mine" && mv "$SCRATCH/mine" "$SCRATCH/unmounted"
    "$repo/scripts/ci-latency.sh" --builds 1 >"$SCRATCH/out" 2>&1 || fail "exit code $?"
    mv "$SCRATCH/unmounted" "$SCRATCH/mine"
    git -C "$SCRATCH/mine" status >/dev/null || fail "a worktree that was not there for a while is lost"
    [ "$(git worktree list | wc -l)" = 2 ] || fail "worktrees left: $(git worktree list)"
}
what_goes_wrong_is_no_regression() {
    repository 1
    GITHUB_STEP_SUMMARY=$SCRATCH/nowhere/summary latency 0 --soft
    change two
    GATE=101 latency 2
    says "which is no verdict"
    GATE=101 latency 2 --soft
    # The lock cannot be had.
    rm -rf target/ipc-bench && mkdir -p target/ipc-bench/ci-latency.lock
    local code=0
    scripts/ci-latency.sh >"$SCRATCH/out" 2>&1 || code=$?
    [ "$code" = 2 ] || fail "exit code $code instead of 2"
}
a_shallow_clone_without_remote_says_so() {
    repository 2
    cut_off
    git remote remove origin
    latency 4
    says "shallow; there is no remote"
    latency 4 HEAD~1 HEAD
    says "shallow; there is no remote"
    git remote add origin "file://$SCRATCH/nowhere"
    latency 4
    says "fetching failed"
}
a_full_clone_stays_full() {
    repository 2
    git clone -q "file://$repo" "$SCRATCH/clone"
    change three
    local lost
    lost=$(git rev-parse HEAD)
    cd "$SCRATCH/clone" && repo=$SCRATCH/clone
    latency 0 --builds 1 "$lost" HEAD
    sides "--base three  seed=1" "--head two  seed=1"
    [ "$(git rev-parse --is-shallow-repository)" = false ] || fail "it is shallow now"
}
a_hook_may_call_it() {
    repository 2
    echo staged >source && git add source && echo edited >source && git status --porcelain >"$SCRATCH/status"
    GIT_DIR=$repo/.git GIT_WORK_TREE=$repo GIT_INDEX_FILE=$repo/.git/index latency 0 --builds 1
    sides "--base two  seed=1" "--head edited  seed=1"
    git status --porcelain | diff - "$SCRATCH/status" || fail "the index is another"
}
two_at_once_do_not_collide() {
    repository 3
    export GATE_TAKES=0.3
    "$repo/scripts/ci-latency.sh" HEAD~1 HEAD --builds 1 --out "$SCRATCH/a" >"$SCRATCH/other" 2>&1 &
    local other=$! code=0
    "$repo/scripts/ci-latency.sh" HEAD~2 HEAD --builds 1 --out "$SCRATCH/b" >"$SCRATCH/out" 2>&1 || code=$?
    wait "$other" || fail "the other one: $(cat "$SCRATCH/other")"
    [ "$code" = 0 ] || fail "exit code $code"
    [ ! -e "$SCRATCH/overlaps" ] || fail "they measured at the same time"
    [ -s "$SCRATCH/a/gate.json" ] && [ -s "$SCRATCH/b/gate.json" ] || fail "a report is missing"
    sort "$SCRATCH/sides" | diff - <(printf '%s\n' "--base one  seed=1" "--base two  seed=1" "--head three  seed=1" "--head three  seed=1") || fail "mixed up"
    clean
}
# Starts the script in the background, in $pid, up to where file $1 holds it.
held() {
    touch "$SCRATCH/hold-$1"
    "$repo/scripts/ci-latency.sh" --builds 1 >"$SCRATCH/out" 2>&1 &
    pid=$!
    until_ [ -s "$SCRATCH/$1" ]
}
ended() {
    local code=0
    wait "$pid" || code=$?
    [ "$code" = "$1" ] || fail "exit code $code instead of $1"
}
interrupted_while_building() {
    repository 2
    held cargo
    kill -TERM "$pid"
    ended 3
    says inconclusive
    clean
}
interrupted_while_measuring() {
    repository 2
    held gate
    kill -TERM "$pid"
    ended 3
    # The gate has been told, and had time to say what it knows.
    [ -s "$SCRATCH/interrupted" ] || fail "the gate was not told"
    clean
}
what_a_killed_run_left_goes_with_the_next() {
    repository 2
    held gate
    kill -KILL "$pid"
    ended 137 2>/dev/null
    [ "$(git worktree list | wc -l)" = 3 ] || fail "nothing left to clean up"
    # A gate does not outlive its run.
    until_ is_gone "$(cat "$SCRATCH/gate-pid")"
    rm "$SCRATCH/hold-gate" "$SCRATCH/measuring"
    latency 0 --builds 1
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }
what_is_in_use_stays() {
    repository 2
    held gate
    local first=$pid
    "$repo/scripts/ci-latency.sh" --builds 1 >"$SCRATCH/out" 2>&1 &
    pid=$!
    until_ grep -q "waiting for it" "$SCRATCH/out"
    [ "$(git worktree list | wc -l)" = 5 ] || fail "took away what is in use"
    rm "$SCRATCH/hold-gate"
    ended 0
    pid=$first
    ended 0
    [ ! -e "$SCRATCH/overlaps" ] || fail "they measured at the same time"
    clean
}
bad_usage() {
    repository 2
    local options
    for options in "--plan none" "--builds 0" "--builds x" "--nonsense" "--out" "a b c"; do
        # shellcheck disable=SC2086
        latency 2 $options
    done
    latency 0 --help
    says "--builds"
    [ ! -e "$SCRATCH/cargo" ] || fail "something was built"
}

failed=()
count=0
while read -r name; do
    case $name in repository | latency | latency_in | clean | fail | until_ | cut_off | held | ended | is_gone) continue ;; esac
    [[ $name == *"$filter"* ]] || continue
    export SCRATCH=$all/$name
    mkdir "$SCRATCH"
    count=$((count + 1))
    # In an `if` a command that fails would end nothing.
    set +e
    (set -e && "$name") </dev/null >"$SCRATCH/said" 2>&1
    code=$?
    set -e
    if [ "$code" = 0 ]; then echo "ok      $name"; else
        echo "FAILED  $name"
        cat "$SCRATCH/said"
        failed+=("$name")
    fi
done < <(sed -n 's/^\([a-z][a-z_]*\)() {$/\1/p' "$0")
[ "$count" -gt 0 ] || { echo "no test is called like '$filter'"; exit 2; }
[ ${#failed[@]} = 0 ] || { echo "${#failed[@]} of $count failed: ${failed[*]}"; exit 1; }
echo "$count passed"
