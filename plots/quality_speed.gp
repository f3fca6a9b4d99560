# SPDX-License-Identifier: Apache-2.0
# Quality against throughput: up and to the right is better.
# Data: two blocks (single-stream, offline), then two of their Pareto fronts, of rate, quality, name.
# Arguments: data file, output path without extension, title, caption, folder of style.gp,
# names of the rate and of the quality.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
rate = ARG6; quality = ARG7
load folder."/style.gp"
set xlabel rate
set ylabel quality
set xrange [0:*]
set offsets 0, graph 0.25, graph 0.12, graph 0.12
set key at graph 1, graph 1.01 right bottom horizontal
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot data index 2 using 1:2 with lines lt 1 dt 2 notitle, \
         data index 3 using 1:2 with lines lt 2 dt 2 notitle, \
         data index 0 using 1:2 with points lt 1 ps 1.6 title "single-stream", \
         data index 1 using 1:2 with points lt 2 ps 1.6 title "offline", \
         data index 0 using 1:2:3 with labels left offset 1,0.5 noenhanced notitle, \
         data index 1 using 1:2:3 with labels left offset 1,-0.5 noenhanced notitle
    unset output
}
