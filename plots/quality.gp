# SPDX-License-Identifier: Apache-2.0
# Quality against speed, size or energy: a colour a setting, a shape a scenario.
# Data: two blocks (single-stream, offline) of points that no other beats in both, each opened by the
# scenario's name, which is empty where nothing was measured in it; then two blocks a setting, its
# name first, empty too where it has no points, of its points in each scenario. A point is x,
# quality; ? where there is none.
# Arguments: data file, output path without extension, title, caption, folder of style.gp, one that
# is not used, and names of the quality and of x.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
quality = ARG7; axis = ARG8
load folder."/style.gp"
stats data using 1:2 nooutput
settings = (STATS_blocks - 2) / 2
array scenario[2]
do for [s=0:1] {
    stats data index s every ::0::0 using (scenario[s+1] = strcol(1), 0) nooutput
}
array name[settings]
do for [i=0:settings-1] {
    stats data index 2+2*i every ::0::0 using (name[i+1] = strcol(1), 0) nooutput
}
full(i) = int(word("7 9 13 11", (i/7)%4 + 1))
hollow(i) = int(word("4 8 12 10", (i/7)%4 + 1))
set xlabel axis
set ylabel quality
set xrange [0:*]
set offsets 0, graph 0.05, graph 0.06, graph 0.06
set autoscale yfix # no tick above what quality can be
set rmargin -1
set key outside right top Left reverse samplen 1
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot data index 0 using 1:2 every ::1 with lines lc rgb "#888888" lw 1.5 dt 2 notitle, \
         data index 1 using 1:2 every ::1 with lines lc rgb "#888888" lw 1.5 dt 3 notitle, \
         for [i=0:settings-1] data index 3+2*i using 1:2 every ::1 with points lt (i+1) pt hollow(i) ps 2.6 lw 2 notitle, \
         for [i=0:settings-1] data index 2+2*i using 1:2 every ::1 with points lt (i+1) pt full(i) ps 1.6 notitle, \
         for [i=0:settings-1] NaN with points lt (i+1) pt full(i) ps 1.6 title name[i+1], \
         NaN with points lc rgb "#444444" pt 7 ps 1.6 title scenario[1], \
         NaN with points lc rgb "#444444" pt 4 ps 2.2 lw 2 title scenario[2]
    unset output
}
