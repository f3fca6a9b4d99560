#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Formats of keys and values as a user asks for them: translations stay, records say which.
# Usage: test_cli_kv.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

. "$(dirname "$0")/expect.sh"

for kv in f32 F16 q8_0; do
    expect 0 '^Datei speichern$' translate --to de --kv-format $kv "Save the file"
done
expect 2 "kv-format must be f32, f16 or q8_0, not 'q4_0'" translate --to de --kv-format q4_0 x
expect 2 "kv-format is F32, F16 or Q8_0, not 'Q4_0'" run --kv-format Q4_0 --results "$dir" --no-plots

head -n 61 "$(dirname "$0")/../workloads/data/jm-ui.csv" >"$dir/small.csv"
short="--data $dir/small.csv --languages de --scenario offline --warmup-s 0 --min-duration-s 0
    --min-queries 1 --energy none --results $dir --no-plots"
expect 0 '^run-offline.*[^6]$' run $short
expect 0 '^run-offline.*keys and values in Q8_0' run $short --kv-format q8_0
expect 0 '"kv_format":.*"F32"' run $short --kv-format F32 --json
expect 1 'no runs alike' compare "$dir/single.csv" "$dir/single.csv" --a kv_format=F16 --b kv_format=Q8_0
expect 0 'kv_format F16 -> Q8_0' compare "$dir/single.csv" "$dir/single.csv" \
    --a kv_format=F16 --b kv_format=Q8_0 --across kv_format

exit $failed
