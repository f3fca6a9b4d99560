#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program as a user meets it: answers, exit codes, and one clear line on bad input.
# Usage: test_cli.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
failed=0

. "$(dirname "$0")/expect.sh"

expect 0 '^usage: joulemark COMMAND' --help
expect 2 "did you mean 'run'" rum
expect 2 "^joulemark: no command 'benchmark'; 'joulemark --help' lists all" benchmark
expect 0 '^commit ([0-9a-f]{12}(-dirty)?|unknown)$' version
expect 0 'tiny-mt-f16.gguf' list
expect 0 '^  default.ini ' list
expect 0 '"workloads"' list --json
expect 0 'cpu +scalar +(runs here|chosen)' list --kernels
expect 0 'cpu +sve +missing' list --kernels
expect 0 'cpu +sme +missing' list --kernels
expect 0 'cpu +amx +missing' list --kernels
expect 0 'cpu +[a-z0-9-]+ +chosen' list --kernels
expect 0 'linear Q4_K .*C$' list --kernels
expect 0 '"operations"' list --kernels --json
export JM_CPU_ISA=scalar
expect 0 'cpu +scalar +chosen' list --kernels
export JM_CPU_ISA=sse9
expect 0 'none is chosen' list --kernels
expect 5 'sse9' translate --to de x
unset JM_CPU_ISA
expect 2 'usage' list --cores
for what in --help 'run --help' version list 'list --json' 'list --kernels' 'list --kernels --json'; do
    "$bin" $what >/dev/full 2>&1
    [ $? -eq 4 ] || { echo "$what: a full disk is not exit code 4"; failed=1; }
done
expect 0 'governor' doctor
expect 0 '"state":' doctor --json
expect 0 '^usage: joulemark doctor' doctor --help
expect 2 'try --json' doctor --jsn
expect 0 '^Datei speichern$' translate --to de "Save the file"
expect 0 '^Datei speichern$' translate --to de --model tiny-mt-stq1_0 "Save the file"
expect 0 '^$' translate --to de ""
expect 2 'xx' translate --to xx "Save the file"
expect 2 'token' translate --to de "$(head -c 100000 /dev/zero | tr '\0' 'a')"
expect 3 'no such file' translate --to de --model missing.gguf x
expect 3 'not found' translate --to de --backend nosuch x
for threads in -1 0 2x 18446744073709551617; do
    expect 2 'threads must be a whole number from 1 to 65536, not ' translate --to de --threads $threads x
done
"$bin" translate --to de <"$dir" >"$dir/out" 2>&1 # a read that fails is no end of text
[ $? -eq 4 ] && grep -q 'standard input: cannot read' "$dir/out" ||
    { echo "a folder was translated:"; cat "$dir/out"; failed=1; }
expect 2 "--min-repeats must be a whole number from 5 to 10000, not '4'" gate --baseline x --min-repeats 4 y
expect 2 "--max-slowdown must be above 0% .*, not '0'" gate --baseline x --max-slowdown 0 y
expect 2 "threads must be a whole number from 0 to 4096, not ' 1'" run --threads ' 1'
# A folder where a file is wanted: one line, and the code of what the system refuses.
mkdir "$dir/folder"
for asked in "run --data" "run --model" "run --reference" "run --suite" "run --energy estimate=" "run --energy powerlog=" \
    "run --workload imagegen --data" "run --workload imagegen --tokenizer" "roofline --data" "roofline --model" \
    "translate --to de --model" "imagine -o $dir/x.png --noise" "imagine -o $dir/x.png --prompts" \
    "imagine -o $dir/x.png --tokenizer" plot "compare $dir/folder" "gate --baseline $dir/folder"; do
    case $asked in
    run* | roofline*) more="--results $dir/r --no-plots" ;;
    translate* | *--noise | *imagine*--tokenizer) more=apple ;;
    *) more= ;;
    esac
    case $asked in *=) asked=$asked$dir/folder ;; *) asked="$asked $dir/folder" ;; esac
    expect 4 "joulemark [a-z]*: .*$dir/folder: .*(not|neither) a regular file" $asked $more
    [ "$(grep -c '^joulemark' "$dir/out")" -eq 1 ] || { echo "more than a line: joulemark $asked"; cat "$dir/out"; failed=1; }
done
rm -rf "$dir/r"
# The runs of a suite do not lie among other results, and suites do not share a name by a dot.
for name in models.ini plots references.ini roofline.ini .ini ..ini ...ini .hidden.ini; do
    printf '[a]\n' >"$dir/$name"
    expect 2 'name the file otherwise' run --suite "$dir/$name" --results "$dir/r"
done
[ ! -e "$dir/r" ] || { echo "a suite of a taken name leaves files"; failed=1; }
printf '\357\273\277[marked]\nmodel = none.gguf\n' >"$dir/marked.ini" # as Windows' editors begin a text
expect 3 '^joulemark run: marked: ' run --suite "$dir/marked.ini" --results "$dir/r" --no-plots
printf '[a]\nmodel = none.gguf\n' >"$dir/week.42.ini"
expect 3 'records +.*/r/week.42.csv' run --suite "$dir/week.42.ini" --results "$dir/r" --no-plots
rm -rf "$dir/r"
for setting in size=64 steps=2 cfg=1 tokenizer=tiny-u1-f16.gguf; do
    wrong="${setting%=*} is a setting of the workload imagegen, not of translate"
    expect 2 "run: $wrong" run --results "$dir/r" --$setting
    expect 2 "roofline: $wrong" roofline --results "$dir/r" --$setting
    expect 2 "run: $wrong" run --results "$dir/r" --ab "--batch 1" "--$setting"
    printf '[a]\n[b]\n%s\n' $setting >"$dir/other.ini"
    expect 3 "run: .*other.ini: .b.: $wrong" run --results "$dir/r" --suite "$dir/other.ini"
    expect 3 "roofline: .*other.ini: .b.: $wrong" roofline --results "$dir/r" --suite "$dir/other.ini" --run b
    printf '[claim]\nmetric = queries_per_s\nrelation = at-least\nvalue = 1\n[subject]\n%s\n' $setting >"$dir/other.ini"
    expect 3 "reproduce: .*other.ini: .subject.: $wrong" reproduce --results "$dir/r" "$dir/other.ini"
done
[ -z "$(find "$dir/r" -type f)" ] || { echo "something was run"; failed=1; }
expect 2 'exclude' run --suite x.ini --threads 1
expect 2 "did you mean 'threads'" run --thread 2
expect 2 '--suite needs a value' run --suite
expect 2 '--ab needs two values' run --ab "--batch 1"
expect 2 '--seconds needs a value' roofline --roofs --seconds
expect 2 "--progress is auto, json or none, not 'jsn'" run --progress jsn
expect 2 'from 0 to 18446744073709551615, not' run --seed 18446744073709551616
expect 2 "did you mean 'min-duration-s'" run --min_duration_s 2

head -c 5000 "$(dirname "$0")/../workloads/data/tiny-mt-f16.gguf" >"$dir/cut.gguf"
expect 3 'cut.gguf' translate --to de --model "$dir/cut.gguf" x
printf '[a]\nthreads = 1\n[a]\nthreads = 2\n' >"$dir/twice.ini"
expect 3 'twice.ini' run --suite "$dir/twice.ini" --results "$dir/r"
: >"$dir/file"
for command in $("$bin" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    expect 0 "^usage: joulemark $command" "$command" --help
    expect 0 '^examples?:$' "$command" --help
done
expect 4 'not a folder' run --results "$dir/file" --no-plots
if [ "$(id -u)" -ne 0 ]; then # root may write everywhere
    mkdir -m 555 "$dir/closed"
    expect 4 'closed: cannot write there: .*; choose another --results' run --results "$dir/closed"
fi
expect 4 'cannot write' quantize "$(dirname "$0")/../workloads/data/tiny-mt-f16.gguf" \
    "$dir/nowhere/x.gguf" Q8_0
printf 'schema_version,run_id\n99,future\n' >"$dir/newer.csv"
printf '[a]\n' >"$dir/newer.ini"
expect 5 'newer.csv.*schema version 99.*move it away' run --suite "$dir/newer.ini" --results "$dir" --no-plots
expect 2 'no weight format' quantize a b Q9_9

# What is wrong in a suite's last run is told before its first, and writes nothing.
for wrong in 'scenario = sometimes' 'format = Q9' 'kv-format = Q4_0' 'workload = dance' \
    'scenario = server' 'find-peak = yes'; do
    printf '[first]\n[last]\n%s\n' "$wrong" >"$dir/late.ini"
    expect 3 'late.ini: \[last\]: ' run --suite "$dir/late.ini" --results "$dir/late" --no-plots
    [ ! -e "$dir/late/late.csv" ] || { echo "$wrong: a run was made"; failed=1; }
done
expect 3 'neither here nor in .*/suites; .joulemark list. shows' run --suite nosuch
expect 2 "scenario 'sometimes' does not exist; choose from" run --scenario sometimes
printf '[../../up]\n' >"$dir/up.ini"
expect 3 "up.ini:1: a section's name holds no '/'" run --suite "$dir/up.ini"
expect 2 "see 'joulemark translate --help'" translate --to de --tokens 3
expect 2 'no language "qqqqqq"; use a code such as de' run --languages qqqqqq --results "$dir/r" --no-plots

# Invalid UTF-8 is translated byte by byte, never a crash, and what comes out is valid.
printf 'Save \377\376 file\n' | "$bin" translate --to fr >"$dir/out" || failed=1
iconv -f utf8 -t utf8 "$dir/out" >/dev/null || { echo "invalid UTF-8 came out"; failed=1; }

# Twelve segments of five lines: short runs are enough here.
head -n 61 "$(dirname "$0")/../workloads/data/jm-ui.csv" >"$dir/small.csv"

# A short run: one complete row, a folder with a manifest, a second row beside the first.
printf '[one]\ndata = %s\nscenario = offline\nlanguages = de\nreference = none\nwarmup-s = 0\nmin-duration-s = 0\nmin-queries = 1\n' \
    "$dir/small.csv" >"$dir/short.ini"
expect 0 '^one ' run --suite "$dir/short.ini" --results "$dir/r" --no-plots
expect 0 '^one ' run --suite "$dir/short.ini" --results "$dir/r" --no-plots
[ "$(grep -c '"complete"' "$dir/r/short.csv")" -eq 2 ] || { echo "two rows wanted"; failed=1; }
[ "$(find "$dir/r/short" -name manifest.json | wc -l)" -eq 2 ] || { echo "two folders wanted"; failed=1; }

# An invalid run exits with 1 and says why; the same run is valid where less is required of it. JSON in
# place of the table holds every column, numbers as numbers.
cat >"$dir/quality.ini" <<INI
[poor]
data = $dir/small.csv
model = tiny-mt-stq1_0
reference = tiny-mt-f16
scenario = offline
languages = fr
warmup-s = 0
min-duration-s = 0
min-queries = 1
INI
expect 1 'poor: invalid: quality is [0-9.]+% of the reference.s, needs 99%' \
    run --suite "$dir/quality.ini" --results "$dir/r" --no-plots
echo 'min-quality = 0.5' >>"$dir/quality.ini"
"$bin" run --suite "$dir/quality.ini" --results "$dir/r" --no-plots --json >"$dir/out" 2>"$dir/errors" ||
    { echo "run --json: exit $?"; cat "$dir/errors"; failed=1; }
jq -e '(.csv | endswith("/quality.csv")) and (.runs | length == 1) and (.runs[0] |
    .quality_valid == "yes" and .quality_required == 0.5 and .quality_tier != null and
    .queries == 12 and .copies == 1 and .cores_used <= .threads and
    .quality_worst_lang == "fr" and .quality_reason == null and has("energy_j"))' "$dir/out" \
    >/dev/null || { echo "run --json: not as it should be:"; cat "$dir/out"; failed=1; }

# Ctrl-C and SIGTERM: the run is marked, what it answered is scored, and runs that did not begin have
# rows. What is written is whole.
cat >"$dir/long.ini" <<INI
[global]
data = $dir/small.csv
languages = de
warmup-s = 0
min-duration-s = 600
reference = none
[first]
scenario = offline
min-queries = 20000
[second]
scenario = single-stream
[third]
scenario = offline
INI
# field ROW COLUMN: of long.csv, whose texts hold no comma.
field() {
    awk -F, -v row="$1" -v name="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) { gsub(/"/, "", $i); if ($i == name) column = i } }
        NR == row + 1 { gsub(/"/, "", $column); print $column }' "$dir/r/long.csv"
}
for signal in INT TERM; do
    rm -f "$dir/r/long.csv"
    : >"$dir/progress" # not the one before
    "$bin" run --suite "$dir/long.ini" --results "$dir/r" --no-plots --progress=json \
        >"$dir/out" 2>"$dir/progress" &
    pid=$!
    for try in $(seq 300); do # until some answers of the measured window are there
        grep -qE '"first: measuring","done":0\.0*[1-9]' "$dir/progress" && break
        sleep 0.2
    done
    kill -$signal $pid
    wait $pid
    got=$?
    [ $got -eq 130 ] || { echo "interrupted by $signal: exit $got, wanted 130"; failed=1; }
    [ "$(field 1 status)/$(field 2 status)/$(field 3 status)" = "interrupted/not run/not run" ] &&
        [ "$(field 3 scenario)" = offline ] && [ -z "$(field 2 queries)" ] ||
        { echo "$signal: rows are not marked:"; cat "$dir/r/long.csv"; failed=1; }
    [ -n "$(field 1 queries)" ] && [ -n "$(field 1 quality_value)" ] &&
        [ -z "$(field 1 quality_ratio)" ] && [ "$(field 1 quality_valid)" = unknown ] ||
        { echo "$signal: answers that were done are not scored"; cat "$dir/r/long.csv"; failed=1; }
done
exit $failed
