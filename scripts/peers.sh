#!/usr/bin/env bash
# Channels from outside: tests and runs those in peers/, and then one that is made by the commands of README's "Your own channel".
# Builds in the target folder of this workspace, so that what both need is built once.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR
# As in the workspaces here, for the one that is made.
export CARGO_PROFILE_RELEASE_DEBUG=${CARGO_PROFILE_RELEASE_DEBUG:-line-tables-only}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

fail() {
    echo "$*" >&2
    exit 1
}

# Lines of code in a file: no comments, no blank lines, no tests.
code() { awk '/^#\[cfg\(test\)\]/ {exit} !/^ *(\/\/|$)/' "$1"; }
channel=peers/length-prefixed-pipe/src/lib.rs
[ "$(code $channel | wc -l)" -le 60 ] || fail "$channel has more than 60 lines of code"
[ "$(code peers/src/main.rs | sed -n '/^fn main/,/^}/p' | wc -l)" -le 3 ] || fail "main of peers has more than 3 lines"

cd peers
cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
cargo test --locked
# Without a C compiler the tests of c-packets are ignored, with the reason.
without=$(CC=/no/compiler cargo test --locked -p c-packets 2>&1) || fail "$without"
grep -q "c-packets is left out: no C compiler" <<<"$without" || fail "no reason is printed: $without"
grep -q "test result: ok. 0 passed; 0 failed; [1-9][0-9]* ignored" <<<"$without" || fail "not all is ignored: $without"

cargo build --release --locked
peers=$CARGO_TARGET_DIR/release/peers
"$peers" list >"$out/list"
"$peers" run --quick --mechanism length-prefixed-pipe,pipe,memfd --out "$out/run"
"$peers" report "$out/run" >"$out/report"
"$peers" copies pipe/ --out "$out/copies"
"$peers" faults pipe/ --kills 6 --out "$out/faults"
cp "$peers" "$out/A" && cp "$peers" "$out/B"
# Equal builds are inconclusive where the machine is too busy to tell.
"$peers" gate --plan smoke --base "$out/A" --head "$out/B" --out "$out/gate" || [ $? = 3 ]
cd "$out"
for file in list report run/{latency,throughput,copies,cost,lifecycle}.csv run/{README.md,report.html} run/charts/*.svg \
    copies/copies.csv faults/faults.csv gate/gate.json; do
    grep -q length-prefixed-pipe "$file" || fail "$file does not name length-prefixed-pipe"
done

# The first block of code of a page's part, in a language.
block() { awk -v part="$2" -v fence="\`\`\`$3" '$0 == part {on = 1} on && inside && /^```$/ {exit} inside; on && $0 == fence {inside = 1}' "$1"; }
block "$root/docs/your-own-channel.md" "## The channel" rust >lib.rs
block "$root/README.md" "## Your own channel" sh >commands
[ "$(wc -l <commands)" = 15 ] || fail "README's \"Your own channel\" is not fifteen lines"
# Without this lock file cargo would take other versions, and build them. It drops what is not needed yet.
# shellcheck disable=SC2016  # the commands are to expand it
sed -i '/^cargo \(add\|test\)/i cp "$IPC/peers/Cargo.lock" .' commands
IPC=$root EDITOR="cp $out/lib.rs" bash -eu commands
grep -q my-channel my-channel/results/partial/latency.csv
