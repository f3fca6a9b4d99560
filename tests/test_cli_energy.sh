#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Energy as a user meets it: an estimate is called one everywhere, a meter that does not work is
# refused with what to do, and the phases are in the run's folder.
# Usage: test_cli_energy.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
    echo "$*"
    failed=1
}

# run METERS: a short run; its output is in $dir/out.
run() {
    "$bin" run --scenario offline --languages de --reference none --warmup-s 0 --min-duration-s 0 \
        --min-queries 1 --energy-idle-s 0.3 --results "$dir/r" --no-plots --energy "$1" \
        >"$dir/out" 2>&1 </dev/null
}

# refused CODE PATTERN METERS
refused() {
    run "$3"
    got=$?
    [ $got -eq "$1" ] && grep -qE -- "$2" "$dir/out" ||
        { cat "$dir/out"; fail "--energy $3: exit $got, wanted $1 and /$2/"; }
}

refused 2 "no energy meter 'nosuch'; 'joulemark list' shows them" nosuch
refused 2 'needs a file: powerlog=FILE' powerlog
refused 2 'takes no file' "ipmi=$dir/x"
refused 3 'No such file' "powerlog=$dir/nowhere"
echo 'idle_w = 20' >"$dir/half.ini"
refused 3 'needs idle_w and a higher max_w' "estimate=$dir/half.ini"
rm -rf "$dir/r"

printf 'idle_w = 20\nmax_w = 100\npackages = 1\n' >"$dir/model.ini"
run "estimate=$dir/model.ini" || { cat "$dir/out"; fail "a run with an estimate failed"; }
grep -q 'joules estimated, not measured' "$dir/out" || fail "the table does not say estimated"
grep -q '"estimated"' "$dir/r/single.csv" || fail "the CSV does not say estimated"
power=$(find "$dir/r/single" -name power.csv)
for phase in idle warmup measured cooldown; do
    grep -q ",$phase,estimated," "$power" || fail "power.csv lacks the phase $phase"
    grep -q "^$phase,estimated,chip," "$(dirname "$power")/energy.csv" ||
        fail "energy.csv lacks the phase $phase"
done
grep -q '"power.csv"' "$(dirname "$power")/manifest.json" || fail "the manifest lacks power.csv"
"$bin" plot "$dir/r/single.csv" -o "$dir/plots" >/dev/null 2>&1
grep -q 'estimated, not measured' "$dir/plots/quality_energy.svg" ||
    fail "the plot of energy does not say estimated"
grep -q 'estimated, not measured' "$dir/plots/power.svg" ||
    fail "the plot of power does not say estimated"

# What reading costs is in the record, or why it is not.
short="--scenario offline --languages de --reference none --warmup-s 0 --min-duration-s 0
    --min-queries 1 --energy-idle-s 0 --no-plots --json --results $dir/r"
"$bin" run $short --energy "estimate=$dir/model.ini" >"$dir/json" 2>/dev/null </dev/null
jq -e '.runs[0] | .meter_difference_low <= .meter_difference and
    .meter_difference <= .meter_difference_high and .meter_share > 0 and
    (.meter_difference_reason // "") == ""' "$dir/json" >/dev/null ||
    { cat "$dir/json"; fail "the cost of meters is not in the record"; }
now=$(date +%s)
printf '%s,50\n%s,50\n' $((now - 2)) $((now - 1)) >"$dir/watts.csv"
"$bin" run $short --energy "powerlog=$dir/watts.csv" >"$dir/json" 2>/dev/null </dev/null
jq -e '.runs[0] | .meter_difference == null and (.meter_difference_reason | test("themselves"))' \
    "$dir/json" >/dev/null || { cat "$dir/json"; fail "a power log was read for its cost"; }

# Interrupted in any phase a run has its row. What was measured before its last phase is complete.
interrupt() { # SIGNAL PHASE STATUS
    rm -rf "$dir/stop" "$dir/progress"
    "$bin" run --scenario offline --languages de --reference none --warmup-s 0 --min-duration-s 0 \
        --min-queries 1 --energy-idle-s $idle_s --no-plots --results "$dir/stop" --progress=json \
        --energy "estimate=$dir/model.ini" >"$dir/out" 2>"$dir/progress" </dev/null &
    pid=$!
    for try in $(seq 600); do
        grep -qs ": $2\"" "$dir/progress" && break
        sleep 0.1
    done
    kill -"$1" $pid
    wait $pid
    got=$?
    [ $got -eq 130 ] || fail "$1 in $2: exit $got, wanted 130"
    grep -q "\"$3\"" "$dir/stop/single.csv" && [ -n "$(find "$dir/stop" -name manifest.json)" ] ||
        { cat "$dir/stop/single.csv"; fail "$1 in $2: no row that is $3"; }
}
idle_s=20
interrupt INT 'cost of meters' interrupted
interrupt TERM 'idle power' interrupted
idle_s=1
interrupt TERM 'idle power after' complete
exit $failed
