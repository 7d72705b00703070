#!/usr/bin/env bash
# Compares what two revisions of `ipc-bench` do. It builds both programs and runs a fixed list of commands with each. The input is the
# stored results of BASE. Output, written files and exit codes must be equal to the byte. Takes two minutes beside the builds.
#
#   scripts/same-behaviour.sh [--only PATTERN] [--except PATTERN]... BASE [HEAD]
#
# BASE and HEAD are commits, or folders with a checkout. HEAD is the working tree by default. Each difference is printed: the command
# or the file, and the head of the diff. PATTERN is an extended regular expression. --except marks differences in matching commands
# and files as intended, so that they do not count. --only runs the matching commands alone.
#
# Measured figures are not compared. Of commands that measure, the list keeps names, columns and keys.
#
# Exit codes: 0 equal; 1 different; 2 usage or environment.
set -euo pipefail

# The commands, one a line, for bash. They run in a folder with the stored results of BASE and the files that `prepare` adds.
commands() {
    local verb folder table file
    cat <<'END'
ipc-bench
ipc-bench --help
ipc-bench -h
ipc-bench --version
ipc-bench help
ipc-bench rnu
ipc-bench man
ipc-bench man --out out/man
ipc-bench man --out /proc/nowhere
ipc-bench completions
ipc-bench completions tcsh
ipc-bench history
END
    for verb in list run gate sample copies faults report export history sweep doctor completions man 'history '{add,show,plot}; do
        printf 'ipc-bench %s\n' "$verb --help" "$verb -h" "help $verb" "$verb --nonsense"
    done
    printf 'ipc-bench completions %s\n' bash zsh fish elvish powershell
    printf 'ipc-bench list --format %s\n' table csv json xml

    # What is made of stored results. `report --format csv` writes the rows that it read.
    for folder in results/machines/*; do
        echo "ipc-bench report $folder --blocks ${folder##*/}.md"
        printf "ipc-bench report $folder %s\n" '' '--format csv' '--format json' '--table latency' '--format csv --table tables'
        for table in $tables; do echo "ipc-bench report $folder --format csv --table $table"; done
        printf 'ipc-bench export %s '"$folder\n" bencher github-latency github-throughput csv
        printf 'ipc-bench history %s --history out/book.csv\n' "add $folder" "add $folder" show
    done
    cat <<'END'
ipc-bench report
ipc-bench report nowhere
ipc-bench report results
ipc-bench report results/machines/amd-epyc-vm-2cpu --blocks nowhere.md
ipc-bench report results/machines/amd-epyc-vm-2cpu --blocks results/README.md
ipc-bench report results/machines/amd-epyc-vm-2cpu --blocks bad/page.md
ipc-bench export
ipc-bench export bencher
ipc-bench export bencher nowhere
ipc-bench history add
ipc-bench history add nowhere --history out/book.csv
ipc-bench history show
ipc-bench history show --format csv
ipc-bench history show --format json
ipc-bench history show latency/pipe --last 3
ipc-bench history show --last 0
ipc-bench history show no/such/cell
ipc-bench history show --history nowhere.csv
ipc-bench history show --history out/book.csv --format json
ipc-bench history plot --out out/plots
ipc-bench history plot memfd --last 7 --out out/few-plots
ipc-bench history plot --history nowhere.csv
ipc-bench history plot --out /proc/nowhere
END
    # Stored results that are broken.
    printf 'ipc-bench report %s\n' bad/*/
    printf 'ipc-bench export bencher %s\n' bad/{latency,throughput}-*/
    printf 'ipc-bench history add %s --history out/bad.csv\n' bad/{latency,cost,copies}-*/ bad/host.json/
    for file in bad/*.csv; do
        printf 'ipc-bench history %s\n' "show --history $file" "add results/machines/amd-epyc-vm-2cpu --history $file"
    done

    # The gate, with builds whose figures are known: see `stand_in`.
    for line in 'gate --format table' 'slower --format json' 'fails --format csv'; do
        echo "echo 0 >calls; ipc-bench gate --base stand-in-base --head stand-in-${line%% *} --plan smoke --seed 7 --out out/$line | timeless; timeless \$(find out/${line%% *} -type f)"
    done
    cat <<'END'
IPC_INJECT=latency ipc-bench gate --base stand-in-base --head stand-in-gate
IPC_INJECT=latency/pipes:15 ipc-bench gate --base stand-in-base --head stand-in-gate --plan smoke
ipc-bench gate --base stand-in-base --head stand-in-gate --out /proc/nowhere
END
    # What is measured, without its figures.
    cat <<'END'
ipc-bench run --quick --forks 1 --workload latency,throughput,cost --out out/run | sed -n '/^written/p'; columns 6 out/run/{latency,throughput,cost}.csv; keys <out/run/host.json; grep -h '^#' out/run/README.md; ls out/run/charts; find out/run -delete
ipc-bench run --workload copies,lifecycle --mechanism pipe,memfd --size 4K --out out/beside | sed -n '/^written/p'; columns 4 out/beside/copies.csv; columns 2 out/beside/lifecycle.csv; find out/beside -delete
ipc-bench run relay/sendfile --workload relay --out out/relay --format csv | columns 4; find out/relay -delete
ipc-bench run --quick --forks 1 --size 64 --mechanism pipe,memfd --placement same-core --out out/json --format json | keys; find out/json -delete
ipc-bench run latency/pipe/64 --quick --forks 1 --out out/csv --format csv | columns 6; find out/csv -delete
ipc-bench run --quick --forks 1 --mechanism sysv-msgq,posix-mq,udp --size 1M --placement same-core --wait block --workload latency --out out/long --format csv; find out/long -delete
ipc-bench copies --format csv | columns 9
ipc-bench copies pipe
ipc-bench copies memfd/ --size 1K --format json --out out/copies
ipc-bench faults --kills 2 --format csv --out out/faults | columns 3; columns 3 out/faults/faults.csv; find out/faults -delete
ipc-bench faults memfd/ --kills 2 --format json --out out/faults | keys; find out/faults -delete
ipc-bench sample --identify | keys; ipc-bench sample --identify | grep -o '"ways".*'
ipc-bench sample latency/pipe/64/same-core/block/copy | keys
ipc-bench sample throughput/memfd/4096/same-core/block/in-place | keys
ipc-bench sample copies/pipe/64/copy
ipc-bench sample copies/pipe/64/in-place
ipc-bench doctor --format csv | columns 2
ipc-bench doctor --format json | keys
ipc-bench doctor | grep -v '^ '
ipc-bench sweep --dry-run
ipc-bench sweep --format csv
ipc-bench sweep --format json
ipc-bench sweep --foreign
ipc-bench sweep
END
    # What is refused.
    sed 's/^/ipc-bench /' <<'END'
run --mechanism tube
run --mechanism pip
run --workload speed
run --placement moon
run --wait nap
run --access osmosis
run no/such/cell
run --size 0
run --size 64,1T
run --size 65M
run --forks 0
run --cpus 1
run --cpus 0,0
run --cpus 0,4095
run --quick --full
run --format csv --quick
run --format csv --quick --workload latency --table cost
run --table cost
run --table tables
run --workload copies --size 64,512
run --workload relay --size 64
run --workload relay,lifecycle --wait spin
run --access in-place --mechanism pipe
run --quick latency/pipe --out /proc/nowhere
run --quick latency/pipe --out /dev/null
run --quick --mechanism udp --size 1M --workload latency --out out/nothing
copies no/such/subject
copies --size 64
copies pipe --out /proc/nowhere
copies pipe --out results/machines/amd-epyc-vm-2cpu
faults --kills 1
faults pipe/nap
faults pipe/ --out /proc/nowhere
sample
sample pipe
sample latency/tube/64/same-core/block/copy
sample latency/pipe/0/same-core/block/copy | keys
sample latency/pipe/64/same-core/block/in-place
sample lifecycle/pipe/64/same-core/block/copy
sample copies/pipe/64M/copy
sample --warm-up 0 latency/pipe/64/same-core/block/copy
sample --measure 1001 latency/pipe/64/same-core/block/copy
gate
gate --base nowhere
gate --base nowhere --head nowhere
gate --base nowhere --head README.md
gate --base README.md --head .
gate --base README.md --head README.md
gate --base nowhere --head nowhere --plan half
gate --base nowhere --head nowhere --seed x
gate --base nowhere --head nowhere no/such/cell
gate --base nowhere --head "$(type -P ipc-bench)" --plan smoke
sweep --format xml
doctor --format xml
END
}
tables='latency throughput cost copies lifecycle relay faults'

# What the commands call. The program's own exit code is printed, as a line may go on after it.
ipc-bench() {
    local code=0
    command ipc-bench "$@" || code=$?
    echo "exit code $code" >&2
    return $code
}
# The first COUNT columns of CSV. None of those that the list takes is quoted.
columns() {
    local count=$1
    shift
    for file in "${@:-/dev/stdin}"; do sed -n 1p "$file"; sed 1d "$file" | cut -d, -f "-$count"; done
}
# The keys of JSON.
keys() { grep -o '"[a-z][a-z0-9_]*": *' | sort -u; }
# Replaces when the gate ran, and for how long: in its output, or in the files that are named.
timeless() {
    sed ${1:+-i} -E 's/[0-9-]{10}T[0-9:]{8}(\.000\+00:00|Z)/TIME/g; s/(duration_s": ?|BaseTime: |\btime="|smoke, seed 7, )[0-9.]+/\1N/' "$@"
}

# Makes the builds that the gate compares. They are copies of bash, which runs the file `sample` where the gate asks for `sample`.
stand_in() {
    local name
    for name in base gate slower fails; do { cat "$BASH"; printf '\n%s\n' "$name"; } >"stand-in-$name"; done
    "$work/base" sample --identify >identity.json
    cat >sample <<'END'
case $1 in
--identify) cat identity.json ;;
copies/*) echo '{"name":"'"$1"'","evidence":"traced","syscalls":2,"copies":2,"touches":2,"faults":0,"missing":{},"error":null,"wrong_payload":false}' ;;
*)
    # Figures that depend on the cell and the number of the call alone.
    read -r calls <calls
    echo $((++calls)) >calls
    name=$(tail -n 1 "/proc/$$/exe") percent=0 p50=null p99=null rate=null error=null
    [[ -z $IPC_INJECT || $1 != "${IPC_INJECT%:*}"* ]] || percent=${IPC_INJECT#*:}
    case $name-$1 in
    slower-*/pipe/*) percent=$((percent + 15)) ;;
    fails-*/posix-shm/*) error='"no room"' ;;
    esac
    ns=$((5000 * (100 + percent) + calls * 7919 % 101 * 50))
    case $error-$1 in
    null-latency/*) p50=$ns p99=$((2 * ns)) ;;
    null-*) rate=$((1000000000000 / ns)) ;;
    esac
    echo '{"cell":"'"$1"'","p50_ns":'$p50',"p99_ns":'$p99',"msgs_per_s":'$rate',"lost":0,"disturbed":false,"error":'$error',"wrong_payload":false}'
    ;;
esac
END
}

# Adds to the stored results: pages without their measured blocks, broken files, a journal of dead processes.
prepare() {
    local folder table file line journal=tmp/ipc-bench-$EUID
    for folder in results/machines/*; do
        sed '/^<!-- [a-z]* of .* -->$/,/^<!-- \/[a-z]* -->$/{//!d}' README.md >"${folder##*/}.md"
    done
    mkdir -p out bad
    printf '<!-- latency of x -->\n' >bad/page.md
    for table in $tables; do
        file=$(echo results/machines/*/"$table.csv" | cut -d' ' -f1)
        mkdir bad/"$table"-{empty,header,column,field,short,two,key}
        : >"bad/$table-empty/$table.csv"
        sed -n 1p "$file" >"bad/$table-header/$table.csv"
        sed -n 1,3p "$file" | cut -d, -f 2- >"bad/$table-column/$table.csv"
        sed -n 1,3p "$file" | sed '3s/\([0-9][0-9.]*,\)[0-9][0-9.]*,/\1many,/' >"bad/$table-field/$table.csv"
        sed -n 1,3p "$file" | sed '3s/,[^,]*,[^,]*$//' >"bad/$table-short/$table.csv"
        sed -n '1,2p;2p' "$file" >"bad/$table-two/$table.csv"
        sed -n 1,2p "$file" | sed '2s/,[a-z-]*,/,tube,/' >"bad/$table-key/$table.csv"
    done
    for file in host.json all.hlog; do
        mkdir "bad/$file"
        cp results/machines/amd-epyc-vm-2cpu/{latency.csv,host.json,all.hlog} "bad/$file"
        sed -i '1s/./x/' "bad/$file/$file"
    done
    : >bad/empty.csv
    sed -n '1,3p' results/history.csv | sed '3s/latency/speed/' >bad/cell.csv
    sed -n '1,3p' results/history.csv | cut -d, -f 1-3 >bad/column.csv
    sed -n '1,3p' results/history.csv | sed '3s/,.*//' >bad/short.csv

    mkdir -p -m 700 "$journal"
    line=b00112233445566778899aabbccddeeff-n1-p0
    echo "path $PWD/$journal/1.fifo" >"$journal/4242-$line-00000000000000a1"
    echo "posix-shm /elsewhere" >"$journal/4243-$line-00000000000000a2"
    echo "nonsense" >"$journal/4244-$line-00000000000000a3"
    mkfifo -m 600 "$journal/1.fifo"
    stand_in
}

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }
fail() { echo "same-behaviour: $*" >&2; exit 2; }

# The commit of revision $1 in this repository.
commit() { git -C "$root" rev-parse --quiet --verify "$1^{commit}" || fail "'$1' is neither a commit nor a folder with a checkout"; }
is_checkout() { [[ -e $1/.git && -e $1/Cargo.toml ]]; }

# Copies the program of $1, a commit or a checkout, to the file $2.
build() (
    local lock tree=$1 kept='' target=${CARGO_TARGET_DIR:-target}
    echo "building $1" >&2
    if ! is_checkout "$1"; then
        # Another call may want another commit in the same folder.
        exec {lock}>"$cache/lock"
        flock "$lock"
        kept=$cache/$(commit "$1") tree=$cache/tree
        [ ! -e "$kept" ] || { cp "$kept" "$2"; exit; }
        [ -e "$tree/.git" ] || git worktree add --quiet --force --detach "$tree" "$1"
        git -C "$tree" checkout --quiet --detach "$(commit "$1")"
        target=$cache/build
    fi
    # The development profile builds faster, and its program prints the same.
    (cd "$tree" && cargo build --target-dir "$target" --quiet --locked -p bench-harness --bin ipc-bench) || fail "'$1' does not build"
    (cd "$tree" && cp "$target/debug/ipc-bench" "$2")
    [ -z "$kept" ] || cp "$2" "$kept"
)

# The stored results and the page of $1, a commit or a checkout, in the current folder.
stored() {
    local tree=$root of=$1
    if is_checkout "$1"; then tree=$1 of=HEAD; fi
    git -C "$tree" archive "$of" results README.md | tar -x
}

# Runs the list with the program $1. The folder $2 gets the output of each command by its number, and the files that they wrote.
observe() {
    local program=$1 kept=$2 number=0 line code
    echo "running the commands with the program of ${1##*/}" >&2
    # Both programs run in the same folder, so that paths are equal.
    mkdir -p "$work/bin" "$kept/said"
    cp "$program" "$work/bin/ipc-bench"
    cp -a "$work/inputs" "$work/stage"
    cd "$work/stage"
    while IFS= read -r line; do
        number=$((number + 1))
        code=0
        env -i PATH="$work/bin:$PATH" HOME="$HOME" TMPDIR="$work/stage/tmp" LC_ALL=C \
            "${isolated[@]}" timeout --kill-after=5 300 bash -o pipefail -c "$(declare -f ipc-bench columns keys timeless); $line" \
            </dev/null >"$work/stdout" 2>"$work/stderr" || code=$?
        ((code != 124 && code != 137)) || fail "no end within five minutes: $line"
        { echo "$line"; cat "$work/stdout"; sed '/ left, now /d; s/^/stderr: /' "$work/stderr"; echo "line: exit code $code"; } \
            >"$kept/said/$(printf %03d $number)"
    done < <(commands | grep -E -- "$only")
    ((number)) || fail "no command matches '$only'"
    rm -rf tmp
    cd "$root"
    mv "$work/stage" "$kept/wrote"
}

# Prints the differences between the folders $1 and $2; fails where one counts.
compare() {
    local file title status=0
    while IFS= read -r file; do
        ! cmp -s "$1/$file" "$2/$file" || continue
        case $file in
        ./said/*) title=$(sed -n 1p "$1/$file") ;;
        *) title="writes ${file#./wrote/}" ;;
        esac
        if matches "$title"; then echo "intended: $title"; else status=1; echo "DIFFERS: $title"; fi
        diff -uNa "$1/$file" "$2/$file" | sed '1,2d' | cut -c -200 | sed -n '1,12s/^/    /p'
    done < <(for side in "$1" "$2"; do (cd "$side" && find . -type f); done | sort -u)
    return $status
}
matches() {
    local pattern
    for pattern in "${except[@]}"; do [[ ! $1 =~ $pattern ]] || return 0; done
    return 1
}

except=() only=
while (($#)); do
    case $1 in
    --except | --only)
        (($# > 1)) || fail "$1 takes a PATTERN"
        [[ '' =~ $2 ]] || (($? < 2)) || fail "'$2' is no extended regular expression"
        if [ "$1" = --only ]; then only=$2; else except+=("$2"); fi
        shift 2
        ;;
    --help | -h) usage; exit ;;
    -*) fail "there is no option '$1': see --help" ;;
    *) break ;;
    esac
done
(($# == 1 || $# == 2)) || { usage >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
base=$1 head=${2:-$root}
for side in base head; do
    if is_checkout "${!side}"; then found=$(cd "${!side}" && pwd); else found=$(commit "${!side}"); fi
    printf -v "$side" %s "$found"
done
cd "$root"
cache=$root/target/same-behaviour
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# An IPC namespace of their own, where permitted: queues of other programs count against the same limits.
isolated=()
! unshare --ipc true 2>/dev/null || isolated=(unshare --ipc)

for side in base head; do build "${!side}" "$work/$side"; done
mkdir -p "$work/stage/tmp"
cd "$work/stage"
stored "$base"
prepare
mv "$work/stage" "$work/inputs"
for side in base head; do observe "$work/$side" "$work/of-$side"; done
count=$(find "$work/of-base" -type f | wc -l)
if compare "$work/of-base" "$work/of-head"; then
    echo "equal: $(find "$work/of-base/said" -type f | wc -l) commands, $count outputs and files"
else
    exit 1
fi
