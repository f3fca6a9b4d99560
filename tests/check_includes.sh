#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The include rule: what may include what, by folder. No include goes up.
# Usage: check_includes.sh SOURCE-ROOT. Prints file:line of each violation; fails if there is one.
set -eu

[ $# -eq 1 ] && [ -d "$1" ] || { echo "usage: check_includes.sh SOURCE-ROOT" >&2; exit 2; }
cd "$1"

rooms=
for room in base backends workloads harness; do
    [ ! -d "$room" ] || rooms="$rooms $room"
done
[ -n "$rooms" ] || { echo "check_includes.sh: $1 holds none of the source folders" >&2; exit 2; }

# shellcheck disable=SC2086
grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' --include='*.[ch]' $rooms /dev/null |
    awk '
    function allowed(from, inc) {
        if (inc ~ /(^|\/)\.\.?(\/|$)/ || inc !~ /\//)
            return 0
        if (inc ~ /^base\//)
            return 1
        if (from == "backends")
            return inc ~ /^backends\/[^\/]+\.h$/ || under(file, inc)
        if (from == "workloads")
            return inc ~ /^backends\/[^\/]+\.h$/ || inc ~ /^workloads\// || inc == "harness/sut.h"
        if (from == "harness")
            return inc ~ /^harness\// || inc == "workloads/workload.h" ||
                   inc == "backends/loader.h" || inc == "backends/backend.h" ||
                   (file ~ /^harness\/cmd_/ && inc ~ /^workloads\//)
        return 0
    }
    # A backend may include its own folder: backends/cpu/avx2/x.c sees all of backends/cpu.
    function under(file, inc,   a, b) {
        split(file, a, "/")
        split(inc, b, "/")
        return a[2] !~ /\.[ch]$/ && b[1] == "backends" && a[2] == b[2]
    }
    {
        file = $0; sub(/:.*/, "", file)
        rest = substr($0, length(file) + 2)
        line = rest; sub(/:.*/, "", line)
        inc = rest; sub(/^[^"]*"/, "", inc); sub(/".*/, "", inc)
        from = file; sub(/\/.*/, "", from)
        if (!allowed(from, inc)) {
            printf "%s:%s: %s may not include \"%s\"\n", file, line, from, inc
            bad = 1
        }
    }
    END { exit bad }' >&2
