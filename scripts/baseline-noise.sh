#!/usr/bin/env bash
# How often criterion calls a benchmark changed where nothing has: saves a baseline, then compares with it again and again. A run takes
# about a minute; leave the machine alone meanwhile.
#
#   scripts/baseline-noise.sh [RUNS] [FILTER]      default 5 runs of all benchmarks
#
# Prints how many verdicts of each kind there were, and between which changes of the mean half of the benchmarks lay, and 99 of 100.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5} filter=${2:-}
[[ $runs =~ ^[1-9][0-9]*$ ]] || { echo "baseline-noise: '$runs' is no number of runs" >&2; exit 2; }
bench() { cargo bench --quiet --locked --bench baseline -- --noplot "$@" ${filter:+"$filter"}; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT

bench --save-baseline noise >/dev/null
for ((run = 1; run <= runs; run++)); do
    bench --baseline noise >>"$log"
    echo "run $run of $runs" >&2
done
for verdict in "has regressed" "has improved" "within noise threshold" "No change"; do
    printf '%6d  %s\n' "$(grep -c "$verdict" "$log" || true)" "$verdict"
done
# The line after `change:` (or `time:` of throughput) has the interval of the mean; its middle is the estimate.
sed "s/−/-/g" "$log" | sed -n 's/^ *\(change\|time\): *\[ *[^ ]*% *\([-+][0-9.]*\)% .*/\2/p' | sort -g |
    awk '{ at[NR] = $1 } END { if (NR) printf "changes of the mean: half of %d between %+.1f and %+.1f %%, 99 of 100 between %+.1f and %+.1f %%\n",
        NR, at[int(NR * .25) + 1], at[int(NR * .75) + 1], at[int(NR * .005) + 1], at[int(NR * .995) + 1] }'
