# SPDX-License-Identifier: Apache-2.0
# Two programs on one model: grouped bars by weight format, the bound a line across each group.
# Data: a block a panel: format, rate of joulemark, of the peer, bound; ? where there is none.
# Arguments: data file, output path without extension, title, caption, folder of style.gp, titles of
# the panels with | between them.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
panels = ARG6
load folder."/style.gp"
unset label 98
unset label 99
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.9
set grid noxtics
set yrange [0:*]
set offsets 0,0,graph 0.1,0
set ylabel "tokens/s"
set format y "%.0s%c"
stats data using 2 nooutput
n = STATS_blocks
stats data index 0 using 0 nooutput
set xrange [-0.6:STATS_records-0.4]
cut(s, i) = i == 0 ? (strstrt(s, "|") ? s[1:strstrt(s, "|")-1] : s) : cut(s[strstrt(s, "|")+1:*], i-1)
# At the foot of the bars, where no bound crosses them.
NUMBER = 'offset 0,0.5 font ",8" textcolor rgb "#ffffff"'
show(x) = x >= 1000 ? sprintf("%.3gk", x / 1000) : sprintf("%.3g", x)
do for [t in "svg png"] {
    if (t eq "svg") { set terminal svg size 1100,840 font "Sans,13" background rgb "white" } \
    else { set terminal pngcairo size 1650,1260 font "Sans,13" fontscale 1.4 background rgb "white" }
    set output out.".".t
    set multiplot layout (n+1)/2,(n > 1 ? 2 : 1) margins 0.09,0.98,0.11,0.88 spacing 0.1,0.11
    set label 1 heading at screen 0.02,0.97 left noenhanced font ",16"
    set label 2 caption at screen 0.02,0.025 left noenhanced font ",10" textcolor rgb "#555555"
    set key at screen 0.98,0.985 right top horizontal maxrows 1 width -1 samplen 1.5 font ",12"
    do for [i=0:n-1] {
        set title cut(panels, i) noenhanced offset 0,-0.6
        plot data index i using 2:xtic(1) title "joulemark" lt 1, \
             data index i using 3 title "llama.cpp" lt 2, \
             data index i using ($0-0.42):4:(0.84):(0) with vectors nohead lc rgb "#000000" lw 2.5 title "bound", \
             data index i using ($0-0.167):($2*0):(show($2)) with labels @NUMBER notitle, \
             data index i using ($0+0.167):($3*0):(show($3)) with labels @NUMBER notitle
        unset key
        unset label 1
        unset label 2
    }
    unset multiplot
    unset output
}
