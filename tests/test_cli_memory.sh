#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Memory as a user meets it: stated before a run, and a run refused that would need more.
# Usage: test_cli_memory.sh JOULEMARK
set -u
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

. "$(dirname "$0")/expect.sh"

printf 'id,lang,text\n1,en,Save\n1,de,Speichern\n' >"$dir/one.csv"
printf 'id,lang,text\na,en,red apple\n' >"$dir/apple.csv"
few="--reference none --warmup-s 0 --min-duration-s 0 --min-queries 1 --no-plots --threads 1
     --results $dir/r"

# shellcheck disable=SC2086
{
    # In a pipe too, where it is much.
    much="--data $dir/one.csv --batch 1280"
    stated='memory: 0\.[0-9]+ GB weights, .* GB caches, .* GB work space'
    expect 0 "run-offline: $stated" run $much --scenario offline $few
    expect 0 "roofline, offline: $stated" roofline $much --scenario offline --seconds 0.1 \
        --no-plots --threads 1 --results "$dir/r"
    expect 0 '^run-offline' run --data "$dir/one.csv" --scenario offline $few
    ! grep 'memory: ' "$dir/out" || { echo "little memory is stated"; failed=1; }
    expect 4 'GB of memory are needed .weights 0\.0.*0\.001 GB are available .the limit given.; a --batch below 8' \
        run --data "$dir/one.csv" --batch 8 --max-memory-gb 0.001 $few
    expect 4 'pictures of 2048x2048, 1 at once: .*GB of memory are needed.*a smaller --size takes less' \
        run --workload imagegen --data "$dir/apple.csv" --batch 1 --size 2048 --max-memory-gb 0.3 $few
    expect 5 'a folder of safetensors runs as it is' \
        run --workload imagegen --data "$dir/apple.csv" --model "$dir" --format Q8_0 $few
}
exit $failed
