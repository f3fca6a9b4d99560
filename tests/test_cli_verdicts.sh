#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compare, gate, run --ab and reproduce as a user meets them, on runs of a few sentences.
# Usage: test_cli_verdicts.sh JOULEMARK
set -u
bin=$1
src=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

. "$(dirname "$0")/expect.sh"

head -n 4 "$src/workloads/data/jm-ui.csv" >"$dir/few.csv"
options="--data $dir/few.csv --languages de --threads 1 --reference none --warmup-s 0
    --min-duration-s 0 --min-queries 1"

# Alternating runs: ten rows with their sides, and a comparison from the file as well.
expect 0 'alternating pairs' run --results "$dir/r" --repeats 5 --progress none $options \
    --ab "--scenario offline --batch 4" "--scenario offline --batch 1"
for side in A B; do
    [ "$(grep -c "\"$side\",\"[1-5]\"" "$dir/r/ab.csv")" -eq 5 ] ||
        { echo "five runs of $side wanted"; failed=1; }
done
grep -q 'batch 4 -> 1' "$dir/out" || { echo "the difference is not said"; failed=1; }
expect 0 'tokens/s' compare "$dir/r/ab.csv"
expect 0 '"verdict"' compare "$dir/r/ab.csv" --json
expect 0 '^pair,metric' compare "$dir/r/ab.csv" --csv
expect 0 '^\| tokens/s \|' compare "$dir/r/ab.csv" --markdown
expect 0 'batch 4 -> 1' compare "$dir/r/ab.csv" "$dir/r/ab.csv" --a ab_side=A --b ab_side=B --across batch
expect 1 'no runs alike' compare "$dir/r/ab.csv" "$dir/r/ab.csv" --a ab_side=A --b ab_side=B
expect 2 'not paired by' compare "$dir/r/ab.csv" "$dir/r/ab.csv" --across nosuch
expect 2 'need two files' compare "$dir/r/ab.csv" --across batch
expect 3 'No such file' compare "$dir/none.csv" "$dir/r/ab.csv"
expect 2 'exit codes|usage' compare
expect 2 "at least 5" run --ab "--batch 1" "--batch 2" --repeats 4
expect 2 'neither --suite' run --ab "--batch 1" "--batch 2" --suite x.ini
expect 2 "did you mean 'batch'" run --results "$dir/r2" --ab "--bach 1" "--batch 2"

# Names of runs within one second differ, and so do their folders.
[ "$(ls "$dir/r/ab" | wc -l)" -eq 10 ] || { echo "ten folders wanted:"; ls "$dir/r/ab"; failed=1; }

# The gate wants nine a side; with five it will not judge, and never passes.
sed '2,$ s/^\("[^"]*","\)/\1other-/' "$dir/r/ab.csv" >"$dir/other.csv" # the same runs by other names
expect 2 'needs 9' gate --baseline "$dir/r/ab.csv" "$dir/other.csv"
expect 0 'gate: pass' gate --baseline "$dir/r/ab.csv" --min-repeats 5 "$dir/other.csv"
expect 2 'is on both sides' gate --baseline "$dir/r/ab.csv" --min-repeats 5 "$dir/r/ab.csv"
sed 1d "$dir/r/ab.csv" | cat "$dir/r/ab.csv" - >"$dir/twice.csv"
expect 3 'twice.csv: run .* stands in it twice' compare "$dir/other.csv" "$dir/twice.csv"
mkfifo "$dir/fifo"
expect 4 'not a regular file' gate --baseline "$dir/r/ab.csv" --junit "$dir/fifo" "$dir/other.csv"
[ -p "$dir/fifo" ] || { echo "a FIFO was replaced by a report"; failed=1; }
expect 2 'row 2' gate --baseline "$src/results/README.md" "$dir/r/ab.csv"
expect 3 'No such file' gate --baseline "$dir/none.csv" "$dir/r/ab.csv"

# A claim that holds, one that does not, one about another model, one that cannot be measured.
claim() {
    printf '[claim]\nmetric = %s\nrelation = %s\nvalue = %s\ntolerance = 50%%\nrepeats = 5\n' "$1" "$2" "$3"
    printf '[subject]\nscenario = offline\ndata = %s\nlanguages = de\nthreads = 1\n' "$dir/few.csv"
    printf 'reference = none\nwarmup-s = 0\nmin-duration-s = 0\nmin-queries = 1\n%s\n' "${4:-}"
}
claim tokens_out_per_s at-least 0.001 >"$dir/true.ini"
expect 0 '^reproduced$' reproduce "$dir/true.ini" --results "$dir/r"
claim tokens_out_per_s at-most 0.001 >"$dir/false.ini"
expect 1 '^refuted$' reproduce "$dir/false.ini" --results "$dir/r"
claim tokens_out_per_s at-least 1 "model-sha256 = $(printf '%064d' 0)" >"$dir/other.ini"
expect 2 'not what the claim is about' reproduce "$dir/other.ini" --results "$dir/r"
claim model at-least 1 >"$dir/text.ini"
expect 3 'no number in the results' reproduce "$dir/text.ini" --results "$dir/r"
claim quality_ratio at-least 1 >"$dir/unmeasured.ini"
expect 5 'was not measured' reproduce "$dir/unmeasured.ini" --results "$dir/r"
expect 4 'not a regular file' reproduce /dev/stdin --results "$dir/r"
expect 2 "--repeats must be a whole number from 5 to 1000, not '4'" reproduce "$dir/true.ini" --repeats 4
expect 2 "--tolerance must be above 0% and at most 50%, such as 3%, not '51%'" reproduce "$dir/true.ini" --tolerance 51%

# A recorded run again; a record that was changed is refused.
run=$(find "$dir/r/ab" -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)

# The same speed cannot be asked of a machine that does other things; the same answers can, and an
# exit code that goes with the verdict.
"$bin" reproduce "$run" --results "$dir/r" --repeats 5 --tolerance 50% >"$dir/out" 2>&1 </dev/null
case $? in
0) verdict=reproduced ;;
1) verdict=refuted ;;
2) verdict='underpowered: .* more repeats' ;;
*) verdict='no such exit code' ;;
esac
if ! grep -qE "^$verdict\$" "$dir/out" ||
    ! grep -qE '^quality .*ratio 1\.0000 .* reproduced$' "$dir/out"; then
    echo "reproduce of a run's folder does not end as its exit code says:"
    cat "$dir/out"
    failed=1
fi
sed -i 's/"size":\(.*\)0,/"size":\164,/' "$run/manifest.json"
expect 3 'settings.: size is a setting of the workload imagegen' reproduce "$run" --results "$dir/r"
echo >>"$run/samples.csv"
expect 3 'the record was changed' reproduce "$run" --results "$dir/r"

# A comparison that is interrupted: what was measured stays, the run at hand is marked, and what did
# not begin has rows. interrupt SIGNAL CSV SEEN COMMAND: once SEEN stands in the output.
interrupt() {
    signal=$1 csv=$2 seen=$3
    shift 3
    "$bin" "$@" >"$dir/out" 2>&1 </dev/null &
    pid=$!
    for try in $(seq 600); do
        grep -qE "$seen" "$dir/out" && break
        sleep 0.1
    done
    kill -"$signal" $pid
    wait $pid
    got=$?
    [ $got -eq 130 ] && grep -q 'interrupted after 1 of 10 runs' "$dir/out" &&
        [ "$(grep -c '"complete"' "$csv")/$(grep -c '"interrupted"' "$csv")/$(grep -c '"not run"' "$csv")" = 1/1/8 ] &&
        [ "$(grep -c '"A","[1-5]"' "$csv")/$(grep -c '"B","[1-5]"' "$csv")" = 5/5 ] ||
        { echo "$signal in $1: exit $got; rows:"; cat "$csv" "$dir/out"; failed=1; }
    expect 1 '9 left out; run .*: status is interrupted' compare "$csv"
}
long='--min-duration-s 600 --min-queries 20000'
interrupt INT "$dir/i/ab.csv" '"B: measuring","done":0\.0*[1-9]' run --results "$dir/i" --repeats 5 --progress json \
    --data "$dir/few.csv" --languages de --threads 1 --reference none --warmup-s 0 \
    --ab "--scenario offline --min-duration-s 0 --min-queries 1" "--scenario offline $long"
claim tokens_out_per_s at-least 1 >"$dir/pair.ini"
sed -n '/subject/,$p' "$dir/pair.ini" | sed 's/subject/other/' >>"$dir/pair.ini"
sed -i '1,/other/{s/min-duration-s = 0/min-duration-s = 600/; s/min-queries = 1/min-queries = 20000/}' "$dir/pair.ini"
interrupt TERM "$dir/i/reproduce.csv" '^A +1 ' reproduce "$dir/pair.ini" --results "$dir/i"
exit $failed
