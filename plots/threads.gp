# SPDX-License-Identifier: Apache-2.0
# Throughput by threads: a line a setting.
# Data: one block a setting, its name first, then threads, median, low, high; ? where there is none.
# Arguments: data file, output path without extension, title, caption, folder of style.gp,
# name of the rate.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
load folder."/style.gp"
stats data using 1:2 nooutput
settings = STATS_blocks
set xlabel "threads"
set ylabel ARG6
set xrange [0:*]
set yrange [0:*]
set offsets 0,0.5,graph 0.08,0
set xtics 1
if (STATS_max_x > 16) { set xtics autofreq }
set rmargin -1
set key outside right top Left reverse samplen 1.5
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot for [i=0:settings-1] data index i using 1:2 with linespoints lt (i+1) ps 1.4 title columnheader(1), \
         for [i=0:settings-1] data index i using 1:3:(0):($4-$3) every ::1 with vectors heads size screen 0.005,90 lt (i+1) notitle
    unset output
}
