#!/usr/bin/env bash
# Runs the ring's protocol through every interleaving of small runs, under a model of memory (loom). Under a minute once
# built. What is modelled stands in ipc-shm/tests/interleavings/main.rs.
#
#   scripts/loom.sh [FILTER]
set -euo pipefail
cd "$(dirname "$0")/.."
# A folder of its own, since other flags would build everything anew each time.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" RUSTFLAGS="--cfg loom"
exec cargo test --release --locked -p ipc-shm --test interleavings -- "$@"
