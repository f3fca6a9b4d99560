#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# joulemark imagine as a user meets it. Usage: test_cli_imagine.sh JOULEMARK
set -u
bin=$1
data=$(dirname "$0")/../workloads/data
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# expect CODE PATTERN ARGS...: exit code, and a line of output (both streams) that matches.
expect() {
    code=$1 pattern=$2
    shift 2
    "$bin" imagine "$@" >"$dir/out" 2>&1 </dev/null
    got=$?
    if [ $got -ne "$code" ] || ! grep -qE -- "$pattern" "$dir/out"; then
        echo "joulemark imagine $*: exit $got, wanted $code and /$pattern/; it said:"
        cat "$dir/out"
        failed=1
    fi
}

# draw NAME WxH ARGS...: says nothing, and writes a PNG of that size.
draw() {
    png=$dir/$1 size=$2
    shift 2
    if ! "$bin" imagine --threads 1 -o "$png" "$@" >"$dir/out" 2>&1 || [ -s "$dir/out" ]; then
        echo "joulemark imagine $* failed or was not silent:"
        cat "$dir/out"
        failed=1
        return
    fi
    got=$(od -An -tu1 -j16 -N8 "$png" | awk '{ print $3*256+$4 "x" $7*256+$8 }')
    [ "$got" = "$size" ] || { echo "$png: $got pixels, wanted $size"; failed=1; }
}

expect 0 '^usage: joulemark imagine' --help
draw a.png 64x64 --steps 1 "red apple"
draw b.png 64x64 --steps 1 "red apple"
cmp -s "$dir/a.png" "$dir/b.png" || { echo "the same picture twice differs"; failed=1; }
draw c.png 64x64 --steps 1 --seed 1 "red apple"
cmp -s "$dir/a.png" "$dir/c.png" && { echo "another seed, the same picture"; failed=1; }
draw d.png 64x64 --steps 1 --cfg 1 "红苹果"
draw e.png 24x16 --steps 1 --size 24x16 "something nobody ever drew <|sep|>"
draw f.png 64x44 --steps 1 --size 16 --n 6 "red apple"
printf 'id,lang,text\na,en,fire\nb,de,rose\n' >"$dir/two.csv"
draw g.png 16x8 --steps 1 --size 16 --tile 8 --prompts "$dir/two.csv"
head -c 768 /dev/zero >"$dir/noise.f32"
draw h.png 8x8 --steps 1 --size 8 --noise "$dir/noise.f32" "red apple"

o=$dir/x.png
expect 2 '-o FILE.png is missing' "red apple"
expect 2 'one caption' -o "$o"
expect 2 'one caption' -o "$o" red apple
expect 2 'one caption' -o "$o" --prompts "$dir/two.csv" apple
expect 2 'exclude' -o "$o" --prompts "$dir/two.csv" --n 2
expect 2 'caption is empty' -o "$o" ""
expect 2 'caption is empty' -o "$o" "  "
expect 2 'take 64 x 64' -o "$o" --size 63 "red apple"
expect 2 "size must be N or WxH, whole numbers from 1 to 32768, not '64x'" -o "$o" --size 64x "red apple"
expect 2 'size' -o "$o" --size -8 "red apple"
expect 2 '--steps' -o "$o" --steps 0 "red apple"
expect 2 '--cfg' -o "$o" --cfg nan "red apple"
expect 2 '--n ' -o "$o" --n 0 "red apple"
expect 2 'unrecognized' -o "$o" --stpes 2 "red apple"
expect 2 'shrunk' -o "$o" --steps 1 --size 16 --tile 5 "red apple"
expect 2 'tokens does not fit' -o "$o" "$(head -c 20000 /dev/zero | tr '\0' 'a')"
expect 3 'noise.f32: 768 bytes' -o "$o" --noise "$dir/noise.f32" "red apple"
expect 3 'no such file' -o "$o" --model missing.gguf "red apple"
expect 3 'no such file' -o "$o" --prompts missing.csv
expect 4 'nowhere' -o "$dir/nowhere/x.png" --steps 1 "red apple"
expect 5 "hunyuan-dense' is not a picture" -o "$o" --model tiny-mt-f16.gguf "red apple"
head -c 50000 "$data/tiny-u1-f16.gguf" >"$dir/cut.gguf"
expect 3 'cut.gguf' -o "$o" --model "$dir/cut.gguf" "red apple"
mkdir "$dir/empty"
expect 3 'model.safetensors' -o "$o" --model "$dir/empty" "red apple"
[ ! -e "$o" ] || { echo "a failed command left a picture"; failed=1; }
exit $failed
