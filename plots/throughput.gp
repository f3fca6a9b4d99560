# SPDX-License-Identifier: Apache-2.0
# Throughput by weight format: grouped bars.
# Data: name, rate single-stream, rate offline; ? where there is none.
# Arguments: data file, output path without extension, title, caption, folder of style.gp,
# name of the rate.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
rate = ARG6
load folder."/style.gp"
set ylabel rate
set xlabel "weight format"
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.9
set yrange [0:*]
set offsets 0,0,graph 0.08,0
set grid noxtics
set key at graph 1, graph 1.01 right bottom horizontal
show(x) = sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.3g", x)
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot data using 2:xtic(1) title "single-stream" lt 1, \
         data using 3 title "offline" lt 2, \
         data using ($0-0.167):2:(show($2)) with labels offset 0,0.7 notitle, \
         data using ($0+0.167):3:(show($3)) with labels offset 0,0.7 notitle
    unset output
}
