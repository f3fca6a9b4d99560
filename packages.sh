# Debian packages, and how ./run, ./check and .ci/run install those that are missing. Sourced.
build_packages=(build-essential cmake ninja-build pkg-config libcjson-dev libcsv-dev libhwloc-dev
    libinih-dev libpapi-dev libpcre2-dev libpng-dev libssl-dev)
plot_packages=(gnuplot-nox fonts-dejavu-core fonts-droid-fallback) # the last: Chinese captions
check_packages=(clang clang-format gcc-aarch64-linux-gnu jq libc6-dev-arm64-cross
    libclang-rt-14-dev libcunit1-dev libsimde-dev python3 qemu-user)

say() {
    printf '== %s\n' "$*"
}

# Installs what is missing through apt-get, as root or through sudo; says so when it may not.
need_packages() {
    local p missing=()
    for p in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
            missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && as_root=(sudo)
        [ ${#as_root[@]} -gt 0 ] || {
            printf 'These packages are missing, and only root may install them: %s\n' \
                "${missing[*]}" >&2
            printf 'Have root run: apt-get install %s\n' "${missing[*]}" >&2
            exit 4
        }
    fi
    say "Installing ${missing[*]}"
    local try
    for try in 1 2; do # one retry: mirrors fail now and then
        "${as_root[@]}" apt-get -qq update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
                --no-install-recommends "${missing[@]}" >/dev/null && return 0
    done
    printf 'Could not install: %s\n' "${missing[*]}" >&2
    exit 4
}
