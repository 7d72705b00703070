#!/usr/bin/env bash
# Tests scripts/ci-history.sh with a repository as remote and a program that does nothing but append. A second or two.
set -euo pipefail
script=$(realpath "$(dirname "$0")/../ci-history.sh")
unset CARGO_TARGET_DIR
while read -r variable; do unset "$variable"; done < <(git rev-parse --local-env-vars)
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
SCRATCH=$(mktemp -d)
export SCRATCH
trap 'rm -rf "$SCRATCH"' EXIT
fail() { echo "FAILED  $*"; cat "$SCRATCH/out"; exit 1; }

mkdir "$SCRATCH/bin"
cat >"$SCRATCH/bin/cargo" <<'CARGO'
#!/usr/bin/env bash
mkdir -p "$CARGO_TARGET_DIR/release"
cat >"$CARGO_TARGET_DIR/release/ipc-bench" <<'PROGRAM'
#!/usr/bin/env bash
set -e
case "$1 $2" in
    "run --out") mkdir "$3" && echo "${FIGURES:-figures} ${*:4}" >"$3/row" && exit "${RUN:-0}" ;;
    "history add") cat "$3/row" >>"$5" && touch "${5%/*}/environments.json"
        # Somebody is quicker, once.
        [ ! -x "$SCRATCH/meanwhile" ] || { mv "$SCRATCH/meanwhile" "$SCRATCH/done" && "$SCRATCH/done"; } ;;
    "history plot") mkdir -p "$6" && wc -l <"$4" >"$6/chart.svg" ;;
    *) exit 2 ;;
esac
PROGRAM
chmod +x "$CARGO_TARGET_DIR/release/ipc-bench"
CARGO
chmod +x "$SCRATCH/bin/cargo"
export PATH=$SCRATCH/bin:$PATH

git init -q --bare -b main "$SCRATCH/remote"
git init -q -b main "$SCRATCH/repo" && cd "$SCRATCH/repo"
mkdir scripts && cp "$script" scripts/ && echo /target >.gitignore
git add -A && git commit -q -m one
history_is() { diff <(printf '%s\n' "$@") <(git -C "$SCRATCH/remote" show latency-history:history.csv) || fail "another history"; }
keep() {
    local code=0
    scripts/ci-history.sh "${@:2}" >"$SCRATCH/out" 2>&1 || code=$?
    [ "$code" = "$1" ] || fail "exit code $code instead of $1"
    [ -z "$(git status --porcelain)" ] && [ -z "$(git for-each-ref refs/ci-history)" ] || fail "left something"
    [ -z "$(find target/ipc-bench -name 'ci-history.*' 2>/dev/null)" ] || fail "left a folder"
}

keep 2 --help-me
[ -z "$(git for-each-ref refs/heads/--help-me)" ] || fail "a branch called --help-me"
scripts/ci-history.sh --help | grep -q "default latency-history" || fail "no help"
keep 2
git remote add origin "file://$SCRATCH/remote"
RUN=1 keep 1
[ -z "$(git -C "$SCRATCH/remote" for-each-ref)" ] || fail "kept a run that failed"
FIGURES=first keep 0 -- --quick
history_is "first --quick"
[ "$(git -C "$SCRATCH/remote" ls-tree -r --name-only latency-history | tr '\n' ' ')" = "charts/chart.svg environments.json history.csv " ] || fail "other files"
mkdir target/ipc-bench/ci-history.killed
FIGURES=second keep 0
history_is "first --quick" "second "
printf '#!/usr/bin/env bash\nFIGURES=quicker scripts/ci-history.sh\n' >"$SCRATCH/meanwhile" && chmod +x "$SCRATCH/meanwhile"
FIGURES=third keep 0
history_is "first --quick" "second " "quicker " "third "
[ "$(git -C "$SCRATCH/remote" rev-list --count latency-history)" = 4 ] || fail "other commits"
[ "$(git rev-parse --is-shallow-repository)" = false ] || fail "the clone has become shallow"
git push -q origin main:other
keep 2 other
grep -q "no history.csv" "$SCRATCH/out" || fail "does not say why"
git remote set-url origin "file://$SCRATCH/nowhere"
keep 2
grep -q "cannot reach" "$SCRATCH/out" || fail "does not say why"
echo "passed"
