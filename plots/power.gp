# SPDX-License-Identifier: Apache-2.0
# Power over time, phases shaded: a panel a run.
# Data: after an empty block, for each panel a block of phases (start, end, number from 0) and a
# block for each series, its name first, then seconds and mean watts since the line before.
# Arguments: data file, output path without extension, title, caption, folder of style.gp, two
# that are not used, and for each panel its title in quotes and its number of series.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5; panels = ARG8
load folder."/style.gp"
n = words(panels) / 2
shade(k) = int(k) == 0 ? 0xdddddd : int(k) == 1 ? 0xfbe3c0 : int(k) == 2 ? 0xcfe8f7 : 0xececec
phase(k) = word("idle warm-up measured cool-down", k+1)
round(x) = x > 0 ? (d = 10**floor(log10(x)), x/d > 5 ? 10*d : x/d > 2 ? 5*d : x/d > 1 ? 2*d : d) : 1
set key at graph 1, graph 1 right bottom horizontal font ",11" samplen 2
set style fill solid 1 noborder
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    set multiplot layout n,1 margins 0.09,0.97,0.17,0.83 spacing 0,0.10
    unset label 98
    set label 97 heading at screen 0.5,0.96 center noenhanced font fit(heading, 13, 95)
    set label 99 caption at screen 0.02,0.025 left noenhanced font fit(caption, 10, 135) textcolor rgb "#555555"
    do for [k=0:3] {
        x = 0.52 + 0.12 * k
        set object 10+k rectangle from screen x,0.902 to screen x+0.02,0.922 fc rgb shade(k) fs solid 1 noborder front
        set label 10+k phase(k) at screen x+0.025,0.912 left font ",11"
    }
    at = 1
    do for [p=1:n] {
        series = int(word(panels, 2*p))
        high = 0; first = 1e300; last = -1e300
        set xrange [*:*] # what lies outside, stats does not see
        set yrange [*:*]
        do for [s=1:series] {
            stats data index at+s using 1:2 every ::1 nooutput
            high = STATS_max_y > high ? STATS_max_y : high
            first = STATS_min_x < first ? STATS_min_x : first
            last = STATS_max_x > last ? STATS_max_x : last
        }
        high = high > 0 ? high * 1.15 : 1
        set xrange [first:last]
        set yrange [0:high]
        set ytics round(high/6)
        set label 98 word(panels, 2*p-1) at graph 0,1 offset 0,0.5 left noenhanced
        set ylabel "watts"
        set xlabel (p == n ? "seconds since the measured time began" : "")
        plot data index at using (($1+$2)/2):(high/2):1:2:(0):(high):(shade($3)) with boxxyerror lc rgb variable notitle, \
             for [s=1:series] data index at+s using 1:2 with fsteps lt s lw 1.5 title columnheader(1)
        at = at + series + 1
        unset label
        unset object
    }
    unset multiplot
    unset output
}
