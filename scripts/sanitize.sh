#!/usr/bin/env bash
# Runs the tests under a sanitizer: all of them under the address sanitizer, the ring's two-thread tests under the thread
# sanitizer. Five minutes and one, once built.
#
#   scripts/sanitize.sh [address|thread]      default: one after the other
#
# Where rust-src is installed the standard library is built with the sanitizer as well. Where it is not, the thread sanitizer
# cannot see how that library orders things, and scripts/tsan.supp leaves those reports out.
#
# Tests that count system calls and copies are ignored, with the reason.
#
# One test (stray_accesses_crash) crashes two children on purpose: two reports of a SEGV belong to it.
#
# Exit code 3: this machine lacks a tool, and which.
set -euo pipefail
cd "$(dirname "$0")/.."
lacks() { echo "cannot run here: $*" >&2; exit 3; }

case ${1:-} in
    "") scripts/sanitize.sh address && exec scripts/sanitize.sh thread; exit ;;
    address) runtime=asan tests=(--workspace --lib --bins --tests) flags=() ;;
    thread) runtime=tsan tests=(-p ipc-shm --lib --test threads) flags=(-Cunsafe-allow-abi-mismatch=sanitizer) ;;
    *) echo "'$1' is no sanitizer: use address or thread" >&2; exit 2 ;;
esac
cargo +nightly --version >/dev/null 2>&1 || lacks "no nightly compiler; 'rustup toolchain install nightly' brings one"
sysroot=$(rustc +nightly --print sysroot)
host=$(rustc +nightly --print host-tuple)
compgen -G "$sysroot/lib/rustlib/$host/lib/librustc*_rt.$runtime.a" >/dev/null \
    || lacks "no $1 sanitizer for $host in the nightly compiler"

build=()
if [ -d "$sysroot/lib/rustlib/src/rust/library" ]; then
    build=(-Zbuild-std) flags=()
elif [ "$1" = thread ]; then
    export TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp ${TSAN_OPTIONS:-}"
fi
# Tests forget ends on purpose, as a killed process does, and let a process meet a SIGBUS.
[ "$1" = thread ] || export ASAN_OPTIONS="detect_leaks=0 handle_sigbus=0 ${ASAN_OPTIONS:-}"
# `--target` keeps the flags away from build scripts, the folder of its own from everything else.
# `sanitized`: tests that count system calls and copies are ignored, since the sanitizer's runtime adds its own.
export RUSTFLAGS="-Zsanitizer=$1 --cfg sanitized ${flags[*]}" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/$runtime"
exec cargo +nightly test --locked --no-fail-fast "${build[@]}" --target "$host" "${tests[@]}"
