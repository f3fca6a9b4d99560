#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The kernels of AVX-512 and AVX-VNNI without a machine that has them: tests/test_kernels.c and
# test_kernels_edge.c over the same sources, their intrinsics by SIMDe (tests/simde/immintrin.h).
# Only AVX2 is needed. It shows that they are right, not how fast.
# Usage: test_kernels_x86.sh BUILD-FOLDER
# Exit code 77: SIMDe is not installed, or this machine lacks AVX2.
set -eu
[ $# -eq 1 ] || { echo "usage: test_kernels_x86.sh BUILD-FOLDER" >&2; exit 2; }
cc=gcc # its intrinsics are what SIMDe takes the place of
[ -e /usr/include/simde/x86/avx512.h ] || { echo "SIMDe is missing; install libsimde-dev"; exit 77; }
grep -qw avx2 /proc/cpuinfo || { echo "this machine lacks AVX2"; exit 77; }
if [ "$(grep -ow -e avx512_vnni -e avx512_\?vbmi -e avx_vnni /proc/cpuinfo | sort -u | wc -l)" -eq 3 ]; then
    echo "this machine has every set of x86-64: test_kernels runs them themselves"
    exit 77
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

flags='-std=c17 -D_GNU_SOURCE -I. -Wall -Wextra -Werror -Wno-psabi -ffp-contract=off -fno-math-errno
    -O1'
avx2='-mavx2 -mfma -mf16c'
avx512="-mavx512f -mavx512bw -mavx512vl -mavx512vnni -mavx512bf16"
. tests/build_kernels.sh
for source in base/status.c backends/format*.c backends/cpu/pack.c backends/cpu/peak_sets.c \
    backends/cpu/scalar/*.c tests/kernel_data.c; do
    build "$source"
done
build backends/cpu/dispatch.c -include tests/simde/every_feature.h
# Peaks are there to link with, and not run.
for source in backends/cpu/avx512/peak*.c; do
    # shellcheck disable=SC2086
    build "$source" $avx512
done
for source in backends/cpu/avx2/*.c backends/cpu/avx512/*.c; do
    case $source in
    */avx512/peak*) ;;
    */avx2/vnni.c) # shellcheck disable=SC2086
        build "$source" $avx2 -isystem tests/simde -D__AVXVNNI__ ;;
    */avx2/*) # shellcheck disable=SC2086
        build "$source" $avx2 ;;
    *) # shellcheck disable=SC2086
        build "$source" $avx2 -isystem tests/simde -DJM_SANITIZED ;;
    esac
done
build_tests -lcunit -lm

status=0
"$out/test_kernels" >"$out/log" 2>&1 || status=$?
cat "$out/log"
[ "$status" -eq 0 ] || { echo "the test failed"; exit 1; }
if grep 'avx.*: not on this machine, skipped' "$out/log"; then
    echo "a set was skipped"
    exit 1
fi
"$out/test_kernels_edge" || { echo "the edges failed"; exit 1; }
