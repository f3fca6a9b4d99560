#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# joulemark synth as a user meets it: the file runs, is the same each time, and a run with it says
# that its weights are synthetic.
# Usage: test_cli_synth.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

. "$(dirname "$0")/expect.sh"

expect 0 'hy-mt-1.8b' synth --help
expect 2 'are needed' synth --shape tiny-mt
expect 2 'no format' synth --shape tiny-mt --format Q9 -o "$dir/x.gguf"
expect 2 'no shape .huge.; use hy-mt' synth --shape huge --format Q8_0 -o "$dir/x.gguf"
expect 2 'whole number' synth --shape tiny-mt --format Q8_0 -o "$dir/x.gguf" --seed -1
expect 2 'whole number' synth --shape tiny-mt --format Q8_0 -o "$dir/x.gguf" --seed 18446744073709551616
expect 2 'from 1 to 1024' synth --shape tiny-mt --format Q8_0 -o "$dir/x.gguf" --layers 0
expect 4 'cannot write' synth --shape tiny-mt --format Q8_0 -o "$dir/nowhere/x.gguf"

"$bin" synth --shape tiny-mt-L1 --format Q8_0 --seed 3 -o "$dir/a.gguf" || failed=1
"$bin" synth --shape tiny-mt --layers 1 --format Q8_0 --seed 3 -o "$dir/b.gguf" || failed=1
"$bin" translate --to fr --model "$dir/a.gguf" "Save the file" >"$dir/first" 2>&1 ||
    { echo "a synthetic model does not run:"; cat "$dir/first"; failed=1; }
[ "$(wc -c <"$dir/first")" -gt 2 ] || { echo "a synthetic model says nothing"; failed=1; }
expect 0 '.' translate --to fr --model "$dir/b.gguf" "Save the file"
cmp -s "$dir/first" "$dir/out" || { echo "two files of one seed answer differently"; failed=1; }

# One short sample: without an end, each answer has as many tokens as may be.
printf 'id,lang,text\n1,en,Save\n1,de,Speichern\n' >"$dir/one.csv"
printf '[one]\nmodel = %s\ndata = %s\nscenario = offline\nlanguages = de\nreference = none\nwarmup-s = 0\nmin-duration-s = 0\nmin-queries = 1\n' \
    "$dir/a.gguf" "$dir/one.csv" >"$dir/synth.ini"
"$bin" run --suite "$dir/synth.ini" --results "$dir/r" --no-plots >"$dir/out" 2>&1
[ "$(grep -c '"synthetic"' "$dir/r/synth.csv")" -eq 1 ] ||
    { echo "the record does not say synthetic:"; cat "$dir/out"; failed=1; }
grep -q '^one .*synthetic weights' "$dir/out" ||
    { echo "the table does not say synthetic:"; cat "$dir/out"; failed=1; }

# The plots say so too, of all runs or of some.
plots_say() {
    "$bin" plot "$dir/r/synth.csv" -o "$dir/p" >"$dir/out" 2>&1 && grep -q "$1" "$dir/p/throughput.svg" ||
        { echo "no plot says $1:"; cat "$dir/out"; failed=1; }
}
if command -v gnuplot >/dev/null; then
    plots_say '(synthetic weights)'
    sed -i '2{p;s/"synthetic"/"real"/}' "$dir/r/synth.csv"
    plots_say '(some weights synthetic)'
    plots_say 'Q8_0 synthetic<'
fi
exit $failed
