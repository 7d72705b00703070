#!/usr/bin/env bash
# Runs under Miri what it can run: the ring over ordinary memory, with both threads, and the message buffer. It has no
# shared mappings, no memory files, no fork and no sockets, so everything else is left to the sanitizers.
#
#   scripts/miri.sh
#
# Exit code 3: this machine lacks a tool, and which.
set -euo pipefail
cd "$(dirname "$0")/.."
lacks() { echo "cannot run here: $*" >&2; exit 3; }

cargo +nightly --version >/dev/null 2>&1 || lacks "no nightly compiler; 'rustup toolchain install nightly' brings one"
cargo +nightly miri --version >/dev/null 2>&1 || lacks "no Miri; 'rustup component add --toolchain nightly miri' brings it"

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri"
cargo +nightly miri test --locked -p ipc-shm --lib -- protocol:: open::
cargo +nightly miri test --locked -p ipc-core --lib -- buffer
