#!/usr/bin/env bash
# Do the regressions that the gate is tried on (scripts/regressions) still apply to what lies here? Moments; nothing is changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
# A source that was unpacked inside somebody else's repository is no part of that.
GIT_CEILING_DIRECTORIES=$(dirname "$PWD")
export GIT_CEILING_DIRECTORIES
for patch in scripts/regressions/*.patch; do
    if git apply --check "$patch"; then
        echo "applies $patch"
    else
        echo "FAILED  $patch: make it anew, see scripts/regressions/README.md"
        status=1
    fi
done
exit "$status"
