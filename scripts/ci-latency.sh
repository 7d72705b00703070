#!/usr/bin/env bash
# Did a change make any mechanism slower? Builds `ipc-bench` as it lies here and calls its verb `ci`, which compares the change with
# what it came from. A few minutes of building, then the plan's time.
#
#   scripts/ci-latency.sh [OPTIONS] [BASE_REV [HEAD_REV]] [-- GATE_OPTIONS...]      --help has the options and the exit codes
#
# IPC_BENCH names a build of the program that is used instead.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd -P)
if [ -z "${IPC_BENCH:-}" ]; then
    target=$(cd "$top" && realpath -m -- "${CARGO_TARGET_DIR:-target}")
    # With a target in its configuration cargo builds in a folder of that name.
    (cd "$top" && cargo build --quiet --locked -p bench-harness --bin ipc-bench) || exit 2
    for IPC_BENCH in "$target"/debug/ipc-bench "$target"/*/debug/ipc-bench; do [ ! -f "$IPC_BENCH" ] || break; done
fi
exec "$IPC_BENCH" ci --repository "$top" "$@"
