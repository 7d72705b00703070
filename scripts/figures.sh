#!/usr/bin/env bash
# Prints the figures this suite is held to: what the Channel trait costs against bare libc loops, and how near the
# spinning ring comes to a bare cache-line ping-pong. About two minutes on two idle cores.
#
#   scripts/figures.sh [ROUNDS]      default 60
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo run --quiet --release -p bench-harness --example figures -- "$@"
