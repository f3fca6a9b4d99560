#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Layout of the C sources: no tabs, no trailing blanks, and clang-format changes nothing.
# Usage: check_format.sh SOURCE-ROOT
set -eu

[ $# -eq 1 ] && [ -d "$1" ] || { echo "usage: check_format.sh SOURCE-ROOT" >&2; exit 2; }
cd "$1"
list=$(mktemp)
trap 'rm -f "$list"' EXIT

for room in base backends workloads harness tests; do
    [ ! -d "$room" ] || find "$room" -type f \( -name '*.c' -o -name '*.h' \)
done | sort > "$list"
[ -s "$list" ] || { echo "check_format.sh: no C sources in $1" >&2; exit 2; }

bad=0
if tr '\n' '\0' < "$list" | xargs -0 grep -nE "$(printf '\t')|[[:blank:]]+\$" /dev/null >&2; then
    echo "check_format.sh: tabs or trailing blanks in the lines above" >&2
    bad=1
fi
if ! command -v clang-format > /dev/null; then
    echo "check_format.sh: clang-format is missing; install it (package clang-format)" >&2
    exit 1
fi
tr '\n' '\0' < "$list" | xargs -0 clang-format --dry-run -Werror || bad=1
exit $bad
