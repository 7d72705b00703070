#!/bin/sh
# Stands for `ipc-bench gate` in the tests of the trials: notes how it was called, and says what is laid down beside its base.
while [ $# -gt 0 ]; do
    args="$args $1"
    case $1 in
    --base) dir=$(dirname "$2") ;;
    --out) out=$2 ;;
    --seed) seed=$2 ;;
    esac
    shift
done
code=$(cat "$dir/code")
case $code in
waits)
    trap 'echo TERM >"$dir/signal"; exit 3' TERM
    echo "inject=$IPC_INJECT$args " >>"$dir/calls"
    for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; done
    exit 0
    ;;
esac
echo "inject=$IPC_INJECT$args " >>"$dir/calls"
case $code in
killed) kill -9 $$ ;;
silent) exit 0 ;;
esac
sed "s/SEED/$seed/" "$dir/gate.json" >"$out/gate.json"
exit "$code"
