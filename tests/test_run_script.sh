#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ./run where packages are missing or not, for root, with sudo, and without: in a copy of its own, with
# stand-ins for the system's commands that write down how they were called.
set -u
source=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

mkdir -p "$dir/bin" "$dir/tree/suites"
cp "$source/run" "$source/packages.sh" "$dir/tree/"
stand_in() {
    printf '#!/bin/bash\n%s\n' "$2" >"$dir/bin/$1"
    chmod +x "$dir/bin/$1"
}
# shellcheck disable=SC2016
{
    # Installed is what LACKS does not list, and what apt-get was told to install.
    stand_in dpkg-query '
        name=${!#}
        case " $LACKS " in *" $name "*)
            grep -q " install .*\b$name\b" "$LOG" && [ -z "${BROKEN:-}" ] || exit 1 ;;
        esac
        printf installed'
    stand_in id 'echo "$ID"'
    stand_in apt-get 'echo "apt-get $*" >>"$LOG"; [ -z "${BROKEN:-}" ]'
    stand_in cmake 'echo "cmake $*" >>"$LOG"
        mkdir -p build/release/bin
        printf "#!/bin/bash\necho \"joulemark \$*\" >>\"\$LOG\"; exit \${SUITE_CODE:-0}\n" \
            >build/release/bin/joulemark
        chmod +x build/release/bin/joulemark'
}
# Only what ./run needs of the real system, so that no real sudo is found.
for tool in bash env dirname tail rm mkdir chmod grep cat; do
    ln -s "$(command -v $tool)" "$dir/bin/$tool"
done
sudo_stub() {
    # shellcheck disable=SC2016
    stand_in sudo 'echo "sudo $*" >>"$LOG"; exec "$@"'
}

# case NAME CODE: runs ./run in the environment that is set up; the output is in $dir/out.
try() {
    local name=$1 code=$2 got
    shift 2
    : >"$dir/log"
    rm -rf "$dir/tree/build"
    (cd "$dir/tree" && env -i PATH="$dir/bin" LOG="$dir/log" "$@" ./run --progress none) \
        >"$dir/out" 2>&1
    got=$?
    [ $got -eq "$code" ] || { echo "$name: exit $got, wanted $code"; cat "$dir/out"; failed=1; }
}
want() {
    grep -qE -- "$2" "$dir/$1" || { echo "no /$2/ in $1:"; cat "$dir/$1"; failed=1; }
}
refuse() {
    ! grep -qE -- "$2" "$dir/$1" || { echo "/$2/ in $1:"; cat "$dir/$1"; failed=1; }
}

try "all installed" 0 ID=1000 LACKS=
refuse log 'apt-get'
refuse out 'Installing'
want log '^cmake --preset release'
want log '^joulemark run --suite suites/default.ini --progress none'

try "missing, no root, no sudo" 4 ID=1000 LACKS="libcsv-dev gnuplot-nox"
want out 'missing.*: libcsv-dev gnuplot-nox$'
want out 'apt-get install'
refuse log 'apt-get|cmake|joulemark'

try "missing, root" 0 ID=0 LACKS="libcsv-dev"
want out '^== Installing libcsv-dev$'
want log '^apt-get -qq install -y --no-install-recommends libcsv-dev$'
refuse log 'sudo'
want log '^joulemark run'

sudo_stub
try "missing, sudo" 0 ID=1000 LACKS="libcsv-dev"
want log '^sudo apt-get -qq update$'
want log '^sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install .*libcsv-dev$'
want log '^joulemark run'

try "packages cannot be had" 4 ID=0 LACKS="libcsv-dev" BROKEN=1
want out 'Could not install: libcsv-dev'
refuse log 'joulemark'

try "the suite's exit code is kept" 1 ID=0 LACKS= SUITE_CODE=1
exit $failed
