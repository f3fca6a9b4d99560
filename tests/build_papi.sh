#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds PAPI from Debian's source package, unchanged, with its powercap component, into a cache
# folder, and runs the energy meter test against it: simulated counters laid over /sys/class, read
# by PAPI, must give the known joules. Nothing is installed; apt's own lists and sources stay as
# they are. Usage: build_papi.sh CACHE TEST_ENERGY_SIM
# Exit 77, with the reason in capitals, where sources cannot be fetched or no mount namespace is
# permitted.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: build_papi.sh CACHE TEST_ENERGY_SIM" >&2; exit 2; }
mkdir -p "$1"
cache=$(cd "$1" && pwd)
test=$2

skip() {
    printf 'SKIPPED: the PAPI meter was not tested against counters: %s\n' "$*" >&2
    exit 77
}

# apt with sources, lists and cache of its own; mirror and key from the system's sources.
fetch() {
    local apt=$cache/apt key=/usr/share/keyrings/debian-archive-keyring.gpg site release
    command -v apt-get >/dev/null || { echo "no apt-get" >&2; return 1; }
    read -r site release < <(apt-get indextargets --format '$(SITE) $(RELEASE)' \
        'Identifier: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null |
        grep -v -e -updates -e -security | sort -u) || true
    [ -n "${site:-}" ] || { echo "apt has no lists of Debian; run apt-get update" >&2; return 1; }
    mkdir -p "$apt/lists/partial" "$apt/parts"
    echo "deb-src [signed-by=$key] $site $release main" >"$apt/sources.list"
    local get=(apt-get -qq -o Dir::Etc::SourceList="$apt/sources.list"
        -o Dir::Etc::SourceParts="$apt/parts" -o Dir::State::Lists="$apt/lists"
        -o Dir::Cache="$apt" -o Acquire::Retries=1 -o Acquire::http::Timeout=20)
    [ "$(id -u)" -ne 0 ] || get+=(-o APT::Sandbox::User=root)
    # update succeeds without a source that it could not fetch; the download then fails.
    timeout 120 "${get[@]}" update &&
        (cd "$cache" && timeout 120 "${get[@]}" --download-only source papi)
}

build() {
    local src=$cache/build
    rm -rf "$src" && mkdir -p "$src"
    tar -C "$src" --strip-components=1 -xf "$cache"/papi_*.orig.tar.gz
    cd "$src/src"
    ./configure --with-components=powercap --with-perf-events --with-shared-lib=yes \
        --with-static-lib=no --with-tests=no &&
        make -j2 -C libpfm4 lib && make -j2 libpapi.so &&
        mkdir -p "$cache/lib" &&
        cp libpfm4/lib/libpfm.so.4.* "$cache/lib/libpfm.so.4" &&
        cp libpapi.so.7.*.*.* "$cache/lib/libpapi.so.7.0"
}

if [ ! -f "$cache/lib/libpapi.so.7.0" ]; then
    fetch >"$cache/fetch.log" 2>&1 || skip "its source package cannot be fetched ($cache/fetch.log)"
    echo "building PAPI with powercap in $cache (some minutes, once)"
    (build) >"$cache/build.log" 2>&1 || {
        echo "PAPI does not build; the end of $cache/build.log:" >&2
        tail -n 20 "$cache/build.log" >&2
        exit 1
    }
    rm -rf "$cache/build"
fi
case $(LD_LIBRARY_PATH=$cache/lib ldd "$test") in
*"$cache/lib/libpapi"*) ;;
*)
    echo "$test does not take PAPI from $cache/lib" >&2
    exit 1
    ;;
esac
status=0
LD_LIBRARY_PATH=$cache/lib "$test" namespace papi || status=$?
[ $status -ne 77 ] || skip "no mount namespace is permitted here; run it as root"
exit $status
