#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# joulemark roofline as a user meets it: tables, files, JSON, plot, and wrong usage.
# Usage: test_cli_roofline.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
here=$(dirname "$0")

. "$here/expect.sh"

fail() {
    echo "$1"
    failed=1
}

expect 0 '^usage: joulemark roofline' roofline --help
expect 2 "no option|unknown|jsno" roofline --jsno
expect 2 'go together' roofline --suite "$here/../suites/default.ini"
expect 2 "no run 'none'" roofline --suite "$here/../suites/default.ini" --run none
expect 2 'excludes run options' roofline --suite "$here/../suites/default.ini" --run q4_0-offline --threads 1
expect 2 "excludes run options" roofline --suite "$here/../suites/default.ini" --run q4_0-offline --repeats 2
expect 2 'single-stream or offline' roofline --scenario server
expect 2 '[-]-seconds must be a number' roofline --seconds 0
expect 2 "no workload 'none'" roofline --workload none --results "$dir/r" --threads 1
expect 3 'no such file' roofline --model "$dir/none.gguf" --results "$dir/r" --threads 1
[ ! -e "$dir/r/roofline" ] || fail "files of a roofline that failed"

# The machine alone.
expect 0 'memory +64-bit loads' roofline --roofs --isa scalar --threads 1 --no-plots --results "$dir/r"
grep -q 'INT8.*unavailable: the set scalar has no such instruction' "$dir/out" || fail "no reason"
[ "$(ls "$dir/r/roofline")" = roofs.csv ] || fail "--roofs left $(ls "$dir/r/roofline")"
grep -q '"memory","64-bit loads, in C[^"]*","[0-9.e+]*","","[0-9.e+]*",""$' "$dir/r/roofline/roofs.csv" ||
    fail "roofs.csv lacks memory"
grep -q '"INT8","","","","","the set' "$dir/r/roofline/roofs.csv" || fail "an unavailable roof is not empty"

# A workload in both scenarios, on twelve texts.
head -n 61 "$here/../workloads/data/jm-ui.csv" >"$dir/small.csv"
common="--threads 1 --seconds 0.2 --results $dir/r"
plot=--no-plots
if command -v gnuplot >/dev/null; then plot=; fi
expect 0 '^batches of 1 row: ' roofline --data "$dir/small.csv" --languages de --batch 4 $common $plot
for line in 'single-stream, batch 1' 'offline, batch 4' 'linear ffn_up  *F16' 'waiting for threads'; do
    grep -q "$line" "$dir/out" || fail "the table lacks '$line'"
done
for file in roofs.csv batches.csv ops.csv ${plot:-roofline.svg roofline.png}; do
    [ "$file" = --no-plots ] || [ -s "$dir/r/roofline/$file" ] || fail "no $file"
done
[ -n "$plot" ] || grep -q 'operations a byte' "$dir/r/roofline/roofline.svg" || fail "the plot is not one"
[ "$(head -1 "$dir/r/roofline/ops.csv" | tr , '\n' | wc -l)" -eq \
    "$(sed -n 2p "$dir/r/roofline/ops.csv" | tr , '\n' | wc -l)" ] || fail "columns of ops.csv"
grep -q '"attention","0","","","","' "$dir/r/roofline/ops.csv" || fail "ops.csv lacks attention"
# Shares of the time of a class of batches add up to less than all of it, and to more than nothing.
awk -F'","' 'NR > 1 && $4 == "single-stream" && $7 == 1 { s += $16 }
    END { if (!(s > 0.01 && s <= 1.000001)) { print "shares add up to " s; exit 1 } }' \
    "$dir/r/roofline/ops.csv" || failed=1

# Pictures, as JSON; a run of a suite.
expect 0 '"operation":[[:space:]]*"attend_run"' roofline --workload imagegen --scenario single-stream --steps 2 \
    --json --no-plots $common
grep -q '"fm_modules.vision_model_mot_gen.embeddings.dense_embedding"' "$dir/out" || fail "a long name is cut"
printf '[global]\ndata = %s\nlanguages = de\n[a]\nscenario = offline\nbatch = 2\n[b]\n' "$dir/small.csv" >"$dir/s.ini"
expect 0 'offline, batch 2' roofline --suite "$dir/s.ini" --run a --seconds 0.2 --no-plots --results "$dir/r"
grep -q 'single-stream' "$dir/out" && fail "a run of one scenario was made in both"
exit $failed
