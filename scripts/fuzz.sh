#!/usr/bin/env bash
# Fuzzes the ring with a peer that scribbles over it (cargo-fuzz, libFuzzer, address sanitizer), from the corpus that earlier
# runs have left in target/fuzz/corpus. A crash leaves its input in target/fuzz/artifacts and the command that repeats it.
#
#   scripts/fuzz.sh [SECONDS]      default 60
#
# Exit code 3: this machine lacks a tool, and which.
set -euo pipefail
cd "$(dirname "$0")/.."
lacks() { echo "cannot run here: $*" >&2; exit 3; }

seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "'$seconds' is no number of seconds: use 1 or more" >&2; exit 2; }
cargo +nightly --version >/dev/null 2>&1 || lacks "no nightly compiler; 'rustup toolchain install nightly' brings one"
cargo fuzz --version >/dev/null 2>&1 || lacks "no cargo-fuzz; 'cargo install cargo-fuzz --locked' brings one"
command -v c++ >/dev/null || lacks "no C++ compiler 'c++', which libFuzzer is built with"

target=$(realpath -m "${CARGO_TARGET_DIR:-target}/fuzz")
mkdir -p "$target/corpus" "$target/artifacts"
# A script of 64 steps takes a few milliseconds; one that takes 10 s hangs.
exec cargo +nightly fuzz run ring "$target/corpus" --target-dir "$target" -- \
    -artifact_prefix="$target/artifacts/" -max_total_time="$seconds" -timeout=10 -max_len=1024 -len_control=0 -print_final_stats=1
