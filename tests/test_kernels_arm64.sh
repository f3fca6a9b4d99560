#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The NEON kernels without an ARM machine: tests/test_kernels.c and test_kernels_edge.c, cross-built
# and run by qemu-user, on a processor with plain NEON and on one with all extensions.
# Usage: test_kernels_arm64.sh BUILD-FOLDER
# Exit code 77: the cross compiler or qemu-user is not installed.
set -eu
[ $# -eq 1 ] || { echo "usage: test_kernels_arm64.sh BUILD-FOLDER" >&2; exit 2; }
cc=aarch64-linux-gnu-gcc
for tool in "$cc" qemu-aarch64; do
    command -v "$tool" >/dev/null || {
        echo "$tool is missing; install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
        exit 77
    }
done
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

flags='-std=c17 -D_GNU_SOURCE -I. -Itests/arm64 -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    -Werror -ffp-contract=off -fno-math-errno -O3'
. tests/build_kernels.sh
for source in base/status.c backends/format*.c backends/cpu/dispatch.c backends/cpu/pack.c \
    backends/cpu/peak_sets.c \
    backends/cpu/scalar/kernels.c backends/cpu/scalar/peak.c backends/cpu/neon/neon.c \
    backends/cpu/neon/peak.c tests/kernel_data.c; do
    build "$source"
done
build backends/cpu/neon/peak_dotprod.c -march=armv8.2-a+dotprod
build backends/cpu/neon/peak_i8mm.c -march=armv8.2-a+dotprod+i8mm
build backends/cpu/neon/dotprod.c -march=armv8.2-a+dotprod
build backends/cpu/neon/i8mm.c -march=armv8.2-a+dotprod+i8mm
build_tests -static -lm

# expect CPU RAN SKIPPED: how many of the three NEON sets it can run.
expect() {
    status=0
    qemu-aarch64 -cpu "$1" "$out/test_kernels" >"$out/log" 2>&1 || status=$?
    cat "$out/log"
    skipped=$(grep -c 'neon.*: not on this machine, skipped' "$out/log") || true
    [ "$status" -eq 0 ] || { echo "$1: the test failed"; exit 1; }
    [ "$skipped" -eq "$2" ] || { echo "$1: $skipped NEON sets were skipped, not $2"; exit 1; }
    qemu-aarch64 -cpu "$1" "$out/test_kernels_edge" || { echo "$1: the edges failed"; exit 1; }
}
expect cortex-a57 2
expect max 0
