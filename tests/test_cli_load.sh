#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The load generator as a user meets it: its own cost, scenarios, searches and suites.
# Usage: test_cli_load.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

. "$(dirname "$0")/expect.sh"

expect 0 '^usage: joulemark selftest' selftest --help
expect 2 "no option '--jsno'" selftest --jsno
TMPDIR=$dir expect 0 '"offline_samples_per_s"' selftest --json
for key in single_stream_ns server_1000_delay_p99_us server_50000_delay_p99_us clock_loop_delay_p99_us \
    bytes_per_sample report_s; do
    grep -q "\"$key\"" "$dir/out" || { echo "selftest --json lacks $key"; failed=1; }
done
grep -q '"meters_unavailable"\|"meter_share_percent"' "$dir/out" ||
    { echo "selftest --json says nothing of meters"; failed=1; }
[ "$(ls "$dir")" = out ] || { echo "selftest left files behind: $(ls "$dir")"; failed=1; }
expect 2 "no energy meter 'nosuch'" selftest --energy nosuch
printf 'idle_w = 20\nmax_w = 100\npackages = 1\n' >"$dir/model.ini"
TMPDIR=$dir expect 0 '^meters on, slower by ' selftest --energy "estimate=$dir/model.ini"
grep -q '^reading meters, processor time  *[0-9]' "$dir/out" || { cat "$dir/out"; failed=1; }
(TMPDIR=$dir/none expect 4 "set TMPDIR" selftest; exit $failed) || failed=1

# Twelve texts, one thread: short under sanitizers and on a busy machine.
head -n 61 "$(dirname "$0")/../workloads/data/jm-ui.csv" >"$dir/small.csv"

# An overloaded server run ends early, is kept, and exits with 1.
common="--data $dir/small.csv --languages de --threads 1 --reference none --warmup-s 0 --min-duration-s 0"
server="--scenario server --tpot-ms 0 $common"
expect 2 'needs target-qps' run $server --results "$dir/r" --no-plots
expect 2 'find-peak works with' run --find-peak --scenario offline --results "$dir/r" --no-plots
expect 1 'overloaded after .* over 1 ms to the first token' \
    run $server --target-qps 100000 --ttft-ms 1 --results "$dir/r" --no-plots
expect 0 '^run-multi-stream' run --scenario multi-stream --samples-per-query 5 $common \
    --results "$dir/r" --no-plots
grep -q '"invalid","overloaded' "$dir/r/single.csv" || { echo "the overloaded run is not marked"; failed=1; }

# What measuring cost, and what the clocks did, is in every record, or why it is not.
"$bin" run --scenario multi-stream --samples-per-query 5 $common --results "$dir/r" --no-plots --json \
    >"$dir/json" 2>"$dir/out" </dev/null || { echo "a run with --json fails:"; cat "$dir/out"; failed=1; }
jq -e '.runs[0] | .harness_ns > 1 and .harness_ns < 1e6 and .harness_share > 0 and
    .issue_delay_p50_us >= 0 and .issue_delay_p50_us <= .issue_delay_p99_us and
    .issue_delay_p99_us <= .issue_delay_max_us and .issue_delay_max_us > 0 and
    (.meter_difference != null or .meter_difference_reason != "") and
    (.frequency_start_khz > 0 and .frequency_end_khz > 0 or .frequency_reason != "") and
    (.throttle_events != null or .frequency_reason != "")' "$dir/json" >/dev/null ||
    { echo "what measuring cost is not in the record:"; cat "$dir/json"; failed=1; }

# A suite of two runs, each made twice, in rounds; the command line may ask for it.
printf '[global]\ndata = %s\nlanguages = de\nthreads = 1\nreference = none\nwarmup-s = 0\nmin-duration-s = 0\nmin-queries = 1\n[a]\n[b]\n' \
    "$dir/small.csv" >"$dir/two.ini"
expect 0 '^b ' run --suite "$dir/two.ini" --repeats 2 --shuffle --cooldown-s 0.1 --preset quick \
    --results "$dir/r" --no-plots
[ "$(grep -cE '"(a|b)","[12]","quick","complete"' "$dir/r/two.csv")" -eq 4 ] ||
    { echo "four rows wanted"; cat "$dir/r/two.csv"; failed=1; }
[ "$(ls "$dir/r/two" | wc -l)" -eq 4 ] || { echo "four folders wanted"; failed=1; }
expect 2 'no preset' run --suite "$dir/two.ini" --preset slow --results "$dir/r" --no-plots
expect 2 'excludes run options' run --suite "$dir/two.ini" --repeats 2 --seed 2

# A run that was stopped for a while measured nothing.
"$bin" run --results "$dir/stop" --no-plots --progress json $common --scenario single-stream --min-queries 1 \
    --min-duration-s 2 >"$dir/out" 2>&1 </dev/null &
pid=$!
for try in $(seq 600); do
    grep -q 'measuring","done":0\.[1-9]' "$dir/out" && break
    sleep 0.05
done
kill -STOP $pid
sleep 0.5
kill -CONT $pid
wait $pid
[ $? -eq 1 ] && grep -q '"invalid","the program was stopped and continued' "$dir/stop/single.csv" ||
    { echo "a run that was stopped counts:"; cat "$dir/out"; failed=1; }
exit $failed
