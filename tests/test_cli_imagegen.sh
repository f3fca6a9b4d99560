#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs of the picture workload as a user meets them. Usage: test_cli_imagegen.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
    echo "$*"
    cat "$dir/out"
    failed=1
}

# run CODE PATTERN ARGS...: CODE is a pattern too.
run() {
    code=$1 pattern=$2
    shift 2
    "$bin" run --workload imagegen --data "$dir/three.csv" --steps 2 --size 16 --threads 1 \
        --warmup-s 0 --min-duration-s 0 --min-queries 3 --no-plots --results "$dir/r" "$@" \
        >"$dir/out" 2>&1 </dev/null
    got=$?
    echo "$got" | grep -qxE "$code" && grep -qE -- "$pattern" "$dir/out" ||
        fail "run $*: exit $got, wanted $code and /$pattern/; it said:"
}

# column NAME: its value in the last row.
column() {
    awk -v name="$1" 'function cells(line) { gsub(/^"|"$/, "", line); return split(line, c, /","/) }
        NR == 1 { n = cells($0); for (i = 1; i <= n; i++) if (c[i] == name) at = i }
        { cells($0); v = c[at] } END { print v }' "$dir/r/single.csv"
}

# wants NAME PATTERN
wants() {
    column "$1" | grep -qE -- "$2" || fail "$1 is '$(column "$1")', wanted /$2/"
}

printf 'id,lang,text\na,en,red apple\nb,de,rose\nc,zh,红苹果\n' >"$dir/three.csv"
run 0 'yes|unknown' --scenario offline --batch 2
wants workload '^imagegen$'
wants status '^complete$'
wants picture_settings '^16x16, 2 steps, guidance 2, shift 1$'
wants queries '^3$'
wants steps_per_s '^[0-9.]+'
wants megapixels_per_s '^[0-9.e-]+'
wants tokens_out_per_s '^$'
wants quality_metric '^SSIM$'
wants quality_value '^(1|0\.99[0-9]*)$'
wants quality_valid '^yes$'
wants quality_agreement '^$'
folder=$dir/r/$(column record_dir)
[ "$(ls "$folder/answers")" = "$(printf '0.png\n1.png\n2.png')" ] || fail "answers: $(ls "$folder")"
jq -r '.files | to_entries[] | .value + "  " + .key' "$folder/manifest.json" >"$dir/sums"
(cd "$folder" && sha256sum --quiet -c "$dir/sums") && [ "$(grep -c answers/ "$dir/sums")" -eq 3 ] ||
    fail "the manifest: $(cat "$dir/sums")"
grep -q '^1,"de","rose"' "$folder/captions.csv" || fail "captions: $(cat "$folder/captions.csv")"
[ "$(ls "$dir"/r/references/*/ | wc -l)" -eq 3 ] || fail "references: $(ls "$dir/r/references")"

# The same noise, other weights: like, but not equal; and batch and scenario change nothing.
run 0 'yes|unknown' --scenario single-stream --format Q8_0
wants weight_format '^Q8_0$'
wants quality_value '^0\.[0-9]+$'
wants quality_psnr_db '^[3-9][0-9]\.'
run 0 'yes|unknown' --scenario offline --batch 1
first=$(cut -d, -f2,9 "$folder/samples.csv" | sort)
second=$(cut -d, -f2,9 "$dir/r/$(column record_dir)/samples.csv" | sort)
[ "$first" = "$second" ] || fail "batch 1 and 2 draw different pictures"

run 0 'yes|unknown' --scenario offline --languages de,zh --reference none --min-queries 2
wants queries '^2$'
wants quality_value '^$'
wants quality_valid '^unknown$'
wants quality_reason '^no reference$'

# The reference draws the first and third caption; all three are timed.
run 0 'yes|unknown' --scenario single-stream --reference-samples 2
wants queries '^3$'
wants quality_n '^2$'
wants quality_valid '^yes$'

# Both samples of a query are drawn at once; the last query of a copy of the set has one.
run 0 'yes|unknown' --scenario multi-stream --samples-per-query 2 --batch 2 --format Q4_K
wants weight_format '^Q4_K$'
wants samples_per_query '^2$'
wants latency_p99_ms '^[0-9.]+'
wants steps_per_s '^[0-9.]+'

# A server of pictures has one bound, which it must be given; joules are of pictures and their area.
# A machine that stands still for long breaks the bound, and is right to say so: it is asked again.
run 2 'needs latency-ms' --scenario server --target-qps 50
run 2 'have no tokens' --scenario server --target-qps 50 --latency-ms 9000 --ttft-ms 10
printf 'idle_w = 20\nmax_w = 100\npackages = 1\n' >"$dir/model.ini"
for try in 1 2 3 4 5; do
    run '0|1' 'unknown' --scenario server --target-qps 19 --latency-ms 2500 --batch 16 --steps 1 --size 8 \
        --cfg 1 --reference none --energy "estimate=$dir/model.ini" --energy-idle-s 0.2
    [ "$(column status)" = invalid ] || break
done
wants status '^complete$'
wants queries '^(4[6-9]|[5-9][0-9])[0-9]$'
wants bound_latency_ms '^2500$'
wants bound_ttft_ms '^$'
wants over_bound '^[0-9]+$'
wants energy_j_per_token '^$'
awk -v j="$(column energy_j)" -v n="$(column queries)" -v q="$(column energy_j_per_query)" \
    -v mp="$(column energy_j_per_megapixel)" -v s="$(column steps_per_s)" \
    -v m="$(column megapixels_per_s)" -v t="$(column duration_s)" 'function near(a, b) {
        return a > 0 && a / b > 0.999 && a / b < 1.001 }
    BEGIN { exit !(near(q, j / n) && near(mp, q / 64e-6) && near(s, n / t) && near(m, s * 64e-6)) }' ||
    fail "joules, steps or megapixels do not fit together"

run 2 "no caption in the languages 'xx'" --languages xx
run 2 'take 16 x 16' --size 17
run 5 "hunyuan-dense' is not a picture" --model tiny-mt-f16.gguf
# One results file of both workloads: plots of each, and the grid names what it shows.
printf 'id,lang,text\na,en,Save\na,de,Speichern\n' >"$dir/text.csv"
"$bin" run --scenario offline --data "$dir/text.csv" --reference none --warmup-s 0 --no-plots \
    --min-duration-s 0 --min-queries 1 --threads 1 --results "$dir/r" >"$dir/out" 2>&1 ||
    fail "a translation failed:"
"$bin" plot "$dir/r/single.csv" -o "$dir/plots" >"$dir/out" 2>&1 || fail "plot failed:"
grep -q 'pictures per second' "$dir/plots/throughput-imagegen.svg" || fail "no pictures per second"
grep -q 'tokens per second' "$dir/plots/throughput-translate.svg" || fail "no tokens per second"
grep -q 'red apple' "$dir/plots/pictures-imagegen.svg" || fail "the grid has no captions"
# Results that were moved still have their folders, also those with names from where they were made.
mv "$dir/r" "$dir/moved"
"$bin" plot "$dir/moved/single.csv" -o "$dir/plots2" >"$dir/out" 2>&1 || fail "plot of moved results failed:"
grep -q 'red apple' "$dir/plots2/pictures-imagegen.svg" || fail "moved pictures are not found"
grep -q 'latency of a query' "$dir/plots2/latency-imagegen.svg" || fail "moved samples are not found"
sed -i 's|"single/\([^"/]*\)"|"gone/r/single/\1"|' "$dir/moved/single.csv"
grep -q 'gone/r/single' "$dir/moved/single.csv" || fail "record_dir is not single/RUN"
"$bin" plot "$dir/moved/single.csv" -o "$dir/plots3" >"$dir/out" 2>&1 || fail "plot of older results failed:"
grep -q 'red apple' "$dir/plots3/pictures-imagegen.svg" || fail "older pictures are not found"
mv "$dir/moved" "$dir/r"
[ ! -e "$dir/plots/throughput.svg" ] || fail "a plot of both workloads in one"

printf 'id,lang,text\na,en, \n' >"$dir/three.csv"
run 3 'three.csv:2: the text is empty'
exit $failed
