#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The benchmark of kernels runs, and says something of each kernel of each set that works here.
# Usage: test_kernels_bench.sh TEST_KERNELS
set -eu
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Small and short.
for set in scalar avx512-vbmi avx512 avx-vnni avx2 neon; do
    status=0
    "$bin" --bench 0.00001 --set $set --outputs 16 >"$dir/out" 2>&1 || status=$?
    [ "$set" = scalar ] || [ $status -ne 2 ] || continue # not on this machine
    [ $status -eq 0 ] || { cat "$dir/out"; exit 1; }
    peak='peak FP32'
    [ $set != avx-vnni ] || peak='linear F32' # no peaks are known of it
    for kernel in "$peak" 'linear F32' 'linear F16' 'linear Q8_0' 'linear Q4_0' 'linear Q4_K' \
        'linear Q6_K' 'linear STQ1_0' attention 'attention F16' add SwiGLU GELU 'RMS norm' \
        rope argmax quantise; do
        # Four columns at the end, the time above zero; cycles may be unavailable.
        grep -qE "^$set +$kernel .* +[0-9]*[1-9][0-9]*\.[0-9]+ +([0-9]+\.[0-9]|-) +[0-9.]+ +[0-9.]+\$" \
            "$dir/out" || { echo "$set: no line for $kernel:"; cat "$dir/out"; exit 1; }
    done
done
for wrong in '--bench -1' '--bench nan' '--bench 0.1 --set sse9' '--benches' '--bench --outputs 0'; do
    status=0
    # shellcheck disable=SC2086
    "$bin" $wrong >"$dir/out" 2>&1 || status=$?
    [ $status -eq 2 ] && grep -q '^usage' "$dir/out" || { echo "$wrong: exit $status"; exit 1; }
done
