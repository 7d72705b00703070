#!/usr/bin/env bash
# How often criterion calls a benchmark changed where nothing has: saves a baseline, then compares with it again and again. A run takes
# about a quarter of a minute; leave the machine alone meanwhile.
#
#   scripts/baseline-noise.sh [RUNS] [FILTER]      default 5 runs of all benchmarks
#
# Prints for each workload how many verdicts of each kind there were, and between which changes of the mean half of the benchmarks
# lay, and 98 of 100.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5} filter=${2:-}
[[ $runs =~ ^[1-9][0-9]*$ ]] || { echo "baseline-noise: '$runs' is no number of runs" >&2; exit 2; }
bench() {
    cargo bench --quiet --locked --bench baseline -- --noplot "$@" ${filter:+"$filter"} 2> >(grep -vE '^Benchmarking|left out' >&2)
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

bench --save-baseline noise >/dev/null
for ((run = 1; run <= runs; run++)); do
    bench --baseline noise >>"$log"
    echo "run $run of $runs" >&2
done
# The line with `(p = …)` has the interval of the change of the mean time, [LOW MIDDLE HIGH]; the verdict comes after it.
sed 's/−/-/g; s/[][%]//g' "$log" | awk '
    /^[a-z]+\/[a-z-]+\/[0-9]/ { workload = $1; sub("/.*", "", workload) }
    /\(p = / { sub(/.*: */, ""); change = $2 }
    /Performance has regressed/ { print workload, change, "regressed" }
    /Performance has improved/ { print workload, change, "improved" }
    /Change within noise threshold|No change in performance/ { print workload, change, "unchanged" }' |
    sort -k1,1 -k2,2g | awk '
    function report() {
        if (n) printf "%-10s %4d verdicts: %d regressed, %d improved; changes of the mean: half between %+.1f and %+.1f %%, 98 of 100 between %+.1f and %+.1f %%\n",
            workload, n, count["regressed"], count["improved"], at[int(n * .25) + 1], at[int(n * .75) + 1], at[int(n * .01) + 1], at[int(n * .99) + 1]
        n = 0; delete count
    }
    $1 != workload { report(); workload = $1 }
    { at[++n] = $2; count[$3]++ }
    END { report(); if (!NR) { print "baseline-noise: criterion gave no verdict" > "/dev/stderr"; exit 2 } }'
