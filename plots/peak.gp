# SPDX-License-Identifier: Apache-2.0
# Throughput against a bound on latency: windows of a search for the highest rate.
# Data: one block of the bounds that were set; then two blocks a run, its name first: windows that
# kept their bounds and windows that did not, each a line of milliseconds, rate, and highest rate so
# far.
# Arguments: data file, output path without extension, title, caption, folder of style.gp, two
# that are not used, and the name of the axis of times.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5; axis = ARG8
load folder."/style.gp"
stats data index 0 using 1 nooutput
low = STATS_min; high = STATS_max
stats data using 1:2 nooutput
runs = (STATS_blocks - 1) / 2
set xlabel axis noenhanced
set ylabel "arrivals a second"
set logscale x
set format x "%g"
set yrange [0:*]
set offsets graph 0.03, graph 0.03, graph 0.08, 0
set key at graph 1, graph 1.01 right bottom horizontal
set arrow from low, graph 0 to low, graph 1 nohead dt 2 lc rgb "#444444"
set arrow from high, graph 0 to high, graph 1 nohead dt 2 lc rgb "#444444"
set label 1 "bound" at high, graph 0.03 offset -0.7,0 rotate left textcolor rgb "#444444"
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot for [i=0:runs-1] data index 1+2*i using 1:3 every ::1 with steps lt (i+1) notitle, \
         for [i=0:runs-1] data index 1+2*i using 1:2 with points lt (i+1) ps 1.4 title columnheader(1), \
         for [i=0:runs-1] data index 2+2*i using 1:2 every ::1 with points lt (i+1) pt 4 ps 1.2 notitle, \
         NaN with points lc rgb "#444444" pt 4 ps 1.2 title "not valid, or not confirmed"
    unset output
}
