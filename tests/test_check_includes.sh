#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_includes.sh accepts what the rule allows and names the file and line of what it forbids.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() { echo "test_check_includes.sh: $1" >&2; exit 1; }

# try FILE INCLUDE: puts one include on line 2 of FILE in an otherwise empty tree.
try() {
    rm -rf "$dir/tree"
    mkdir -p "$dir/tree/$(dirname "$1")"
    printf '#include <stdio.h>\n#include "%s"\n' "$2" > "$dir/tree/$1"
    "$here/check_includes.sh" "$dir/tree" 2> "$dir/says"
}
good() { try "$1" "$2" || fail "$1 should be allowed to include $2"; }
bad() {
    if try "$1" "$2"; then fail "$1 was allowed to include $2"; fi
    grep -qF "$1:2:" "$dir/says" || fail "no file and line for $1: $(cat "$dir/says")"
}

good base/a.c base/b.h
good backends/a.c backends/b.h
good backends/cpu/avx2/a.c backends/cpu/b.h
good workloads/model/a.c workloads/translate/b.h
good workloads/a.c harness/sut.h
good workloads/a.c backends/graph.h
good harness/load/a.c harness/stats/b.h
good harness/a.c workloads/workload.h
good harness/a.c backends/loader.h
bad base/a.c backends/b.h
bad base/a.c b.h
bad backends/a.c workloads/b.h
bad backends/cpu/a.c harness/sut.h
bad backends/cpu/a.c backends/cuda/b.h
bad backends/a.c backends/cpu/b.h
bad workloads/a.c harness/meter.h
bad workloads/a.c backends/cpu/b.h
bad harness/a.c backends/graph.h
bad harness/a.c workloads/model/gguf.h
bad harness/load/a.c ../sut.h
if "$here/check_includes.sh" "$dir/nothing" 2> "$dir/says"; then fail "a missing folder passed"; fi
echo "check_includes.sh: ok"
