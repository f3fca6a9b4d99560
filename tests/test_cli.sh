#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program as a user meets it: answers, exit codes, and one clear line on bad input.
# Usage: test_cli.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
failed=0

# expect CODE PATTERN ARGS...: exit code, and a line of output (both streams) that matches.
expect() {
    code=$1 pattern=$2
    shift 2
    "$bin" "$@" >"$dir/out" 2>&1 </dev/null
    got=$?
    if [ $got -ne "$code" ] || ! grep -qE -- "$pattern" "$dir/out"; then
        echo "joulemark $*: exit $got, wanted $code and /$pattern/; it said:"
        cat "$dir/out"
        failed=1
    fi
}

expect 0 '^usage: joulemark COMMAND' --help
expect 2 "did you mean 'run'" rum
expect 0 'joulemark' version
expect 0 'tiny-mt-f16.gguf' list
expect 0 '"workloads"' list --json
expect 0 'governor' doctor
expect 0 '^Datei speichern$' translate --to de "Save the file"
expect 0 '^Datei speichern$' translate --to de --model tiny-mt-stq1_0 "Save the file"
expect 0 '^$' translate --to de ""
expect 2 'xx' translate --to xx "Save the file"
expect 2 'token' translate --to de "$(head -c 100000 /dev/zero | tr '\0' 'a')"
expect 3 'no such file' translate --to de --model missing.gguf x
expect 3 'not found' translate --to de --backend nosuch x
expect 2 'exclude' run --suite x.ini --threads 1
expect 2 "did you mean 'threads'" run --thread 2
expect 2 "did you mean 'min-duration-s'" run --min_duration_s 2

head -c 5000 "$(dirname "$0")/../workloads/data/tiny-mt-f16.gguf" >"$dir/cut.gguf"
expect 3 'cut.gguf' translate --to de --model "$dir/cut.gguf" x
printf '[a]\nthreads = 1\n[a]\nthreads = 2\n' >"$dir/twice.ini"
expect 3 'twice.ini' run --suite "$dir/twice.ini" --results "$dir/r"
: >"$dir/file"
expect 4 'not a folder' run --results "$dir/file" --no-plots
expect 4 'cannot write' quantize "$(dirname "$0")/../workloads/data/tiny-mt-f16.gguf" \
    "$dir/nowhere/x.gguf" Q8_0
expect 2 'no format' quantize a b Q9_9

# Invalid UTF-8 is translated byte by byte, never a crash, and what comes out is valid.
printf 'Save \377\376 file\n' | "$bin" translate --to fr >"$dir/out" || failed=1
iconv -f utf8 -t utf8 "$dir/out" >/dev/null || { echo "invalid UTF-8 came out"; failed=1; }

# A short run: one complete row, a folder with a manifest, a second row beside the first.
printf '[one]\nscenario = offline\nlanguages = de\nreference = none\nwarmup-s = 0\nmin-duration-s = 0\nmin-queries = 1\n' \
    >"$dir/short.ini"
expect 0 '^one ' run --suite "$dir/short.ini" --results "$dir/r" --no-plots
expect 0 '^one ' run --suite "$dir/short.ini" --results "$dir/r" --no-plots
[ "$(grep -c '"complete"' "$dir/r/short.csv")" -eq 2 ] || { echo "two rows wanted"; failed=1; }
[ "$(find "$dir/r/short" -name manifest.json | wc -l)" -eq 2 ] || { echo "two folders wanted"; failed=1; }

# Ctrl-C marks the run; what is written is whole.
printf '[long]\nscenario = single-stream\nlanguages = de\nreference = none\nwarmup-s = 0\nmin-duration-s = 600\n' \
    >"$dir/long.ini"
"$bin" run --suite "$dir/long.ini" --results "$dir/r" --no-plots >"$dir/out" 2>&1 &
pid=$!
sleep 3
kill -INT $pid
wait $pid
got=$?
[ $got -eq 130 ] || { echo "interrupted run: exit $got, wanted 130"; failed=1; }
grep -q '"interrupted"' "$dir/r/long.csv" || { echo "the interrupted run is not marked"; failed=1; }
exit $failed
