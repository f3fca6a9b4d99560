#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# For the tests of kernels of other processors, which source this at the root of the sources with
# $cc, $flags and the folder $out set.

objects= # of all sources so far
build() { # SOURCE FLAGS...
    source=$1
    shift
    object=$out/$(echo "$source" | tr / _).o
    # shellcheck disable=SC2086
    "$cc" $flags "$@" -c "$source" -o "$object"
    objects="$objects $object"
}

# The test programs, of the kernels built so far: $out/test_kernels and $out/test_kernels_edge.
build_tests() { # LIBRARIES...
    kernels=$objects
    for source in tests/test_kernels.c tests/bench_kernels.c tests/cycles.c; do
        build "$source"
    done
    # shellcheck disable=SC2086
    "$cc" $objects "$@" -o "$out/test_kernels"
    objects=$kernels
    build tests/test_kernels_edge.c
    # shellcheck disable=SC2086
    "$cc" $objects "$@" -o "$out/test_kernels_edge"
}
