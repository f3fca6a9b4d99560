#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program where things run out or are watched: full disk, an op that a backend lacks, plots of
# measured joules, progress on a terminal, as JSON and in a pipe.
# Usage: test_cli_edges.sh JOULEMARK
set -u
bin=$1
case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
source=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
    echo "$1"
    [ $# -lt 2 ] || cat "$2"
    failed=1
}

head -n 61 "$source/workloads/data/jm-ui.csv" >"$dir/small.csv"
cat >"$dir/short.ini" <<INI
[one]
data = $dir/small.csv
languages = de
scenario = offline
reference = none
warmup-s = 0
min-duration-s = 0
min-queries = 1
INI

# A full disk: exit 4 and why; what was finished before stays as it was, nothing half written. Root
# gets a real one, others a limit on the size of files.
cat >"$dir/full.sh" <<'SH'
bin=$1 dir=$2
mkdir -p "$dir/disk"
mount -t tmpfs -o size=256k none "$dir/disk" 2>/dev/null || { echo "no disk of its own" >&2; exit 99; }
"$bin" run --suite "$dir/short.ini" --results "$dir/disk" --no-plots >/dev/null || exit 98
cp "$dir/disk/short.csv" "$dir/before.csv"
dd if=/dev/zero of="$dir/disk/filler" bs=1k count=1000 2>/dev/null
"$bin" run --suite "$dir/short.ini" --results "$dir/disk" --no-plots >"$dir/out" 2>&1
echo $? >"$dir/code"
cp "$dir/disk/short.csv" "$dir/after.csv"
find "$dir/disk" >"$dir/files"
SH
unshare -m sh "$dir/full.sh" "$bin" "$dir" 2>"$dir/errors"
rc=$?
if [ $rc -ne 0 ]; then # not allowed: the same with a limit
    [ $rc -ne 98 ] || fail "a run on a small disk fails" "$dir/errors"
    rm -rf "$dir/disk"
    "$bin" run --suite "$dir/short.ini" --results "$dir/disk" --no-plots >/dev/null ||
        fail "a short run fails"
    cp "$dir/disk/short.csv" "$dir/before.csv"
    (
        trap '' XFSZ
        ulimit -f 0
        "$bin" run --suite "$dir/short.ini" --results "$dir/disk" --no-plots >/dev/null 2>&1
    )
    echo $? >"$dir/code"
    : >"$dir/out"
    cp "$dir/disk/short.csv" "$dir/after.csv"
    find "$dir/disk" >"$dir/files"
fi
[ "$(cat "$dir/code")" -eq 4 ] || fail "full disk: exit $(cat "$dir/code"), wanted 4" "$dir/out"
[ $rc -ne 0 ] || grep -q 'cannot write.*No space left' "$dir/out" ||
    fail "full disk: no word of it" "$dir/out"
cmp -s "$dir/before.csv" "$dir/after.csv" || fail "full disk: the finished row is damaged"
! grep -q 'tmp-' "$dir/files" || fail "full disk: half-written files stay" "$dir/files"
[ "$(grep -c 'manifest.json$' "$dir/files")" -eq 1 ] && [ "$(grep -c 'samples.csv$' "$dir/files")" -eq 1 ] ||
    fail "full disk: a part of the failed run's folder stays" "$dir/files"

# Where the row finds the disk full, its run's folder goes too. A long results file meets a limit on
# the size of files which the folder's files do not.
long_file() { # RESULTS NAME
    mkdir -p "$1"
    head -1 "$dir/before.csv" >"$1/$2.csv"
    for i in $(seq 600); do sed -n 2p "$dir/before.csv"; done >>"$1/$2.csv"
    cp "$1/$2.csv" "$dir/long.csv"
}
limited() { # NAME COMMAND...: its results are in $dir/l
    name=$1
    shift
    long_file "$dir/l" $name
    (
        trap '' XFSZ
        ulimit -f 512 # of 512 bytes or 1 KiB: less than the file, more than the folder's files
        exec "$bin" "$@" --results "$dir/l" >"$dir/out" 2>&1
    )
    [ $? -eq 4 ] && grep -q 'cannot write.*File too large' "$dir/out" || fail "$name: a row too many" "$dir/out"
    cmp -s "$dir/long.csv" "$dir/l/$name.csv" || fail "$name: the results file is damaged"
    find "$dir/l/$name" -mindepth 1 >"$dir/files"
    [ -d "$dir/l/$name" ] && [ ! -s "$dir/files" ] || fail "$name: a folder without a row stays" "$dir/files"
}
limited short run --suite "$dir/short.ini" --no-plots
limited ab run --data "$dir/small.csv" --languages de --reference none --warmup-s 0 --min-duration-s 0 \
    --min-queries 1 --scenario offline --repeats 5 --ab "--batch 1" "--batch 2"

# Figures whose folder could not be written prove nothing.
mkdir "$dir/blocked"
echo >"$dir/blocked/short"
"$bin" run --suite "$dir/short.ini" --results "$dir/blocked" --no-plots >"$dir/out" 2>&1
[ $? -eq 4 ] && grep -q '"failed","[^"]*blocked/short' "$dir/blocked/short.csv" ||
    fail "a run without its folder is not marked as failed" "$dir/out"

# A signal while plots are drawn ends it; gnuplot is not begun again.
mkdir "$dir/fake"
cat >"$dir/fake/gnuplot" <<SH
#!/bin/sh
echo >>"$dir/begun"
kill -TERM \$PPID
exit 1
SH
chmod +x "$dir/fake/gnuplot"
PATH=$dir/fake:$PATH "$bin" run --suite "$dir/short.ini" --results "$dir/p" >"$dir/out" 2>&1
[ $? -eq 130 ] && [ "$(wc -l <"$dir/begun")" -eq 1 ] && grep -q '"complete"' "$dir/p/short.csv" ||
    fail "SIGTERM while plots are drawn" "$dir/out"
! grep -q 'gnuplot failed' "$dir/out" || fail "a plot that was interrupted is called a failure" "$dir/out"

# A signal to joulemark alone ends gnuplot too; no scratch folder and no half of a picture stays.
cat >"$dir/fake/gnuplot" <<SH
#!/bin/sh
dirname "\$3" >"$dir/scratch"
echo half | tee "\$4.svg" >"\$4.png"
kill -\$JM_TEST_SIGNAL \$PPID
exec sleep 600
SH
cut_off() { # SIGNAL FOLDER COMMAND...
    signal=$1 folder=$2
    shift 2
    rm -f "$dir/scratch"
    JM_TEST_SIGNAL=$signal PATH=$dir/fake:$PATH timeout 300 "$bin" "$@" >"$dir/out" 2>&1
    got=$?
    [ $got -eq 130 ] || fail "$signal while $1 draws: exit $got, wanted 130" "$dir/out"
    [ -s "$dir/scratch" ] && [ ! -e "$(cat "$dir/scratch")" ] || fail "$1: its scratch folder stays" "$dir/scratch"
    ls "$folder" >"$dir/files"
    ! grep -q 'svg\|png\|tmp' "$dir/files" || fail "$1: half a picture stays" "$dir/files"
}
cut_off INT "$dir/p2" plot "$dir/p/short.csv" -o "$dir/p2"
cut_off TERM "$dir/p2" plot "$dir/p/short.csv" -o "$dir/p2"
cut_off INT "$dir/r/roofline" roofline --roofs --isa scalar --threads 1 --results "$dir/r"

# An op that the backend lacks is named before anything is measured.
if [ -e "$(dirname "$bin")/../lib/joulemark/libjm_remote.so" ]; then
    JM_REMOTE_LACKS=rope "$bin" run --backend remote --reference none --results "$dir/r" --no-plots \
        >"$dir/out" 2>&1
    [ $? -eq 5 ] || fail "a missing op: not exit 5" "$dir/out"
    grep -q 'backend remote cannot run rope of this model; try another' "$dir/out" ||
        fail "a missing op is not named" "$dir/out"
fi

# Plots of a file with joules: the one of quality against joules is there, and every PNG decodes.
mkdir "$dir/plots"
cat >"$dir/plots/joules.csv" <<'CSV'
schema_version,run_name,status,model,weight_format,host_cpu,backend,scenario,model_bytes,queries_per_s,tokens_out_per_s,energy_source,energy_j,energy_j_per_query,quality_value
1,a,complete,Model A,F16,Some CPU,cpu,single-stream,14000000,90,900,powercap,30,0.5,40
1,b,complete,Model A,Q4_0,Some CPU,cpu,single-stream,4000000,150,1500,powercap,30,0.2,38
1,c,complete,Model A,F16,Some CPU,cpu,offline,14000000,400,4000,powercap,30,0.1,40
1,d,not run,Model A,Q4_0,Some CPU,cpu,offline,,,,,,,
CSV
"$bin" plot "$dir/plots/joules.csv" >"$dir/out" 2>&1 || fail "plot fails" "$dir/out"
decodes() {
    gnuplot -e "set terminal dumb 20,10; plot '$1' binary filetype=png with rgbimage" \
        >/dev/null 2>&1
}
for name in throughput quality_speed quality_energy; do
    decodes "$dir/plots/$name.png" || fail "$name.png is no picture" "$dir/out"
    grep -q '</svg>' "$dir/plots/$name.svg" || fail "$name.svg is not whole"
done
grep -q '>single-stream<' "$dir/plots/quality_speed.svg" && grep -q '>offline<' "$dir/plots/quality_speed.svg" ||
    fail "quality_speed.svg does not name both scenarios"
grep -q 'energy of a query (J)' "$dir/plots/quality_energy.svg" || fail "quality_energy.svg has no joules on its axis"
head -c 2000 "$dir/plots/throughput.png" >"$dir/cut.png"
! decodes "$dir/cut.png" || fail "a damaged picture was taken for a whole one"
# Where the disk is full, gnuplot says nothing and ends well: older pictures stay, no half of one.
(trap '' XFSZ; ulimit -f 20; "$bin" plot "$dir/plots/joules.csv" >"$dir/out" 2>&1)
[ $? -eq 4 ] && grep -q 'not written whole; is the disk full' "$dir/out" ||
    fail "pictures that do not fit: no exit 4, or no word of it" "$dir/out"
for name in throughput quality_speed quality_energy; do
    decodes "$dir/plots/$name.png" || fail "$name.png was replaced by half of one" "$dir/out"
done
"$bin" plot -q "$dir/plots/joules.csv" >"$dir/out" 2>&1 && [ ! -s "$dir/out" ] ||
    fail "plot -q is not quiet" "$dir/out"

# Settings are named under their bars, also where only one scenario was run.
mkdir "$dir/offline"
grep -v -e single-stream -e 'not run' "$dir/plots/joules.csv" >"$dir/offline/two.csv"
grep ,offline, "$dir/offline/two.csv" | sed 's/,F16,/,Q8_0,/' >"$dir/more.csv"
cat "$dir/more.csv" >>"$dir/offline/two.csv"
"$bin" plot "$dir/offline/two.csv" >"$dir/out" 2>&1 || fail "plot fails" "$dir/out"
grep -q '>F16<' "$dir/offline/comparison.svg" && grep -q '>Q8_0<' "$dir/offline/comparison.svg" ||
    fail "comparison.svg does not name what it compares" "$dir/out"

# The legend names only what was drawn, on a front of one point and of several.
for scenario in offline single-stream; do
    for rows in 1 9; do
        sed -n "1p; /,$scenario,/p" "$dir/plots/joules.csv" | grep -v 'not run' | head -n $((rows + 1)) >"$dir/offline/only.csv"
        "$bin" plot "$dir/offline/only.csv" -o "$dir/only" >"$dir/out" 2>&1 || fail "plot fails" "$dir/out"
        grep -o '>offline<\|>single-stream<' "$dir/only/quality_speed.svg" | sort -u >"$dir/named"
        [ "$(cat "$dir/named")" = ">$scenario<" ] || fail "quality_speed.svg names in its legend, of $scenario alone:" "$dir/named"
        decodes "$dir/only/quality_speed.png" || fail "quality_speed.png of $scenario alone is no picture" "$dir/out"
    done
done
rm "$dir/named"
sed 's/,Q4_0,\(.*\),single-stream,/,Q4_0,\1,server,/' "$dir/plots/joules.csv" >"$dir/offline/only.csv"
"$bin" plot "$dir/offline/only.csv" -o "$dir/only" >"$dir/out" 2>&1 || fail "plot fails" "$dir/out"
grep -q '>F16<' "$dir/only/quality_speed.svg" && ! grep -q '>Q4_0<' "$dir/only/quality_speed.svg" ||
    fail "quality_speed.svg names in its legend a setting that has no points" "$dir/out"

# A model that is named after its format: the format is said once.
sed 's/Model A,Q4_0/Model-Q4_0,Q4_0/; s/Model A,F16/Model-f16,F16/' "$dir/plots/joules.csv" >"$dir/offline/named.csv"
sed -n '$p' "$dir/offline/named.csv" | sed 's/Model-Q4_0/Model-B/; s/not run,/complete,/; s/,,,,,,,$/,4000000,300,3000,,,,38/' >>"$dir/offline/named.csv"
"$bin" plot "$dir/offline/named.csv" -o "$dir/named" >"$dir/out" 2>&1 || fail "plot fails" "$dir/out"
grep -q '>Model-Q4_0<' "$dir/named/comparison.svg" && grep -q '>Model-B Q4_0<' "$dir/named/comparison.svg" ||
    fail "comparison.svg says a format twice, or not at all" "$dir/out"

# A search for a peak and a metered run, with names that gnuplot could take for commands.
mkdir "$dir/search" "$dir/search/run"
cat >"$dir/search/peak.csv" <<'CSV'
schema_version,run_name,status,model,weight_format,host_cpu,backend,scenario,queries_per_s,target_qps,peak_probes,bound_ttft_ms,bound_tpot_ms,ttft_p99_ms,tpot_p99_ms,energy_source,record_dir
1,a,complete,"Model ""`id` A",F16,Some CPU,cpu,server,90,90,3,200,50,190,10,powercap,run
CSV
cat >"$dir/search/run/peak.csv" <<'CSV'
window,kind,target_qps,valid,queries,duration_s,latency_p99_ms,ttft_p99_ms,tpot_p99_ms,issue_delay_p99_us,reason
1,probe,50,yes,100,2,100,40,10,1,""
2,probe,100,no,80,1,900,400,10,1,"overloaded"
3,confirmation,90,yes,900,10,300,190,10,1,""
CSV
cat >"$dir/search/run/power.csv" <<'CSV'
time_s,phase,source,domain,power_w,energy_j
-2,idle,powercap,"package ""0' $(id)",10,0
-1,idle,powercap,"package ""0' $(id)",10,10
0,warmup,powercap,"package ""0' $(id)",30,40
1,measured,powercap,"package ""0' $(id)",31,71
2,measured,powercap,"package ""0' $(id)",33,104
3,cooldown,powercap,"package ""0' $(id)",,
CSV
"$bin" plot "$dir/search/peak.csv" -o "$dir/search" >"$dir/out" 2>&1 ||
    fail "plots of a search fail" "$dir/out"
for name in peak power; do
    decodes "$dir/search/$name.png" || fail "$name.png is no picture" "$dir/out"
    grep -q '</svg>' "$dir/search/$name.svg" || fail "$name.svg is not whole"
    ! grep -q 'uid=' "$dir/search/$name.svg" || fail "$name.svg ran a command"
done
grep -q '99th percentile to the first token' "$dir/search/peak.svg" ||
    fail "peak.svg is not of the bound that limits"
grep -q 'package .0. \$(id)' "$dir/search/power.svg" || fail "power.svg does not name its series"
grep -q 'measured' "$dir/search/power.svg" || fail "power.svg does not name its phases"

# Progress: time left on a terminal, JSON lines on request, nothing in a pipe.
sed -i 's/min-duration-s = 0/min-duration-s = 2/; s/offline/single-stream/' "$dir/short.ini"
run="'$bin' run --suite '$dir/short.ini' --results '$dir/r' --no-plots"
script -qec "$run" /dev/null </dev/null >"$dir/out" 2>&1 || fail "a run on a terminal fails" "$dir/out"
grep -qE 'one: measuring +[0-9]+ %, [0-9]+:[0-9]{2} left' "$dir/out" ||
    fail "no time left on a terminal" "$dir/out"
"$bin" run --suite "$dir/short.ini" --results "$dir/r" --no-plots >"$dir/out" 2>"$dir/errors" ||
    fail "a run in a pipe fails" "$dir/errors"
[ ! -s "$dir/errors" ] || fail "progress in a pipe" "$dir/errors"
! grep -qE 'left|measuring' "$dir/out" || fail "progress among the results" "$dir/out"
"$bin" run --suite "$dir/short.ini" --results "$dir/r" --no-plots --progress=json >"$dir/out" \
    2>"$dir/errors" || fail "a run with progress as JSON fails" "$dir/errors"
jq -es 'length > 2 and all(.[]; (.phase | startswith("one: ")) and .done >= 0 and .done <= 1 and
    .elapsed_s >= 0) and any(.[]; has("left_s"))' "$dir/errors" >/dev/null ||
    fail "progress is not JSON lines" "$dir/errors"
exit $failed
