# SPDX-License-Identifier: Apache-2.0
# Latency distribution: for each setting, the share of queries answered within a time.
# Data: one block a setting, its name first, then lines of milliseconds and share.
# Arguments: data file, output path without extension, title, caption, folder of style.gp.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
load folder."/style.gp"
stats data using 1:2 nooutput
runs = STATS_blocks
set xlabel "latency of a query (ms, logarithmic)"
set ylabel "share of queries answered"
set logscale x
set yrange [0:1.02]
set ytics 0.1
set format x "%g"
set rmargin -1
do for [p in "50 90 99"] {
    set arrow from graph 0, first p/100. to graph 1, first p/100. nohead dt 2 lc rgb "#888888" back
    set label "p".p at graph 0.005, first p/100. offset 0,-0.5 left textcolor rgb "#444444" font ",10"
}
set key outside right top Left reverse samplen 1.5
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot for [i=0:runs-1] data index i using 1:2 with steps title columnheader(1)
    unset output
}
