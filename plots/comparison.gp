# SPDX-License-Identifier: Apache-2.0
# Settings compared: throughput over that of the first setting of the scenario.
# Data: two blocks (single-stream, offline) of place, ratio, low, high, name; ? where there is none;
# a block without bars has one at place -1, left of the axis.
# Arguments: data file, output path without extension, title, caption, folder of style.gp.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
load folder."/style.gp"
set ylabel "throughput over that of the first (1: equal)"
set xlabel "weight format"
set style fill solid 0.9 noborder
set yrange [0:*]
set xrange [-0.6:*]
set offsets 0,0.2,graph 0.1,0
set grid noxtics
set key at graph 1, graph 1.01 right bottom horizontal
set arrow from graph 0, first 1 to graph 1, first 1 nohead dt 2 lc rgb "#888888" back
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot for [i=0:1] data index i using 1:(0):xtic(5) with points ps 0 notitle, \
         data index 0 using ($1-0.2):2:(0.38) with boxes lt 1 title "single-stream", \
         data index 1 using ($1+0.2):2:(0.38) with boxes lt 2 title "offline", \
         data index 0 using ($1-0.2):3:(0):($4-$3) with vectors heads size screen 0.005,90 lc rgb "#000000" lw 2 notitle, \
         data index 1 using ($1+0.2):3:(0):($4-$3) with vectors heads size screen 0.005,90 lc rgb "#000000" lw 2 notitle, \
         data index 0 using ($1-0.2):(valid(4) ? $4 : $2):(sprintf("%.2f", $2)) with labels offset 0,0.7 notitle, \
         data index 1 using ($1+0.2):(valid(4) ? $4 : $2):(sprintf("%.2f", $2)) with labels offset 0,0.7 notitle
    unset output
}
