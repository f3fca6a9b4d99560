#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# For the tests of the command line, which source this with $bin, $dir and $failed set.

# expect CODE PATTERN ARGS...: exit code, and a line of output (both streams) that matches.
expect() {
    code=$1 pattern=$2
    shift 2
    "$bin" "$@" >"$dir/out" 2>&1 </dev/null
    got=$?
    if [ $got -ne "$code" ] || ! grep -aqE -- "$pattern" "$dir/out"; then
        echo "joulemark $*: exit $got, wanted $code and /$pattern/; it said:"
        cat "$dir/out"
        failed=1
    fi
}
