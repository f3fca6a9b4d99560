# SPDX-License-Identifier: Apache-2.0
# Roofs of a machine, and operations below them. Both axes are logarithmic.
# Data: a block of two points a roof; four blocks of labels (x, y, text): of the slopes, of the flat
# roofs, of points to their left, of points to their right; then a block a series, its name first.
# Arguments: data file, output path without extension, title, caption, folder of style.gp, number of
# roofs, number of series, and "x0 x1 y0 y1", the ends of the axes.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
roofs = int(ARG6); series = int(ARG7)
x0 = real(word(ARG8, 1)); x1 = real(word(ARG8, 2)); y0 = real(word(ARG8, 3)); y1 = real(word(ARG8, 4))
load folder."/style.gp"
set xlabel "operations a byte"
set ylabel "10^9 operations a second" noenhanced
set logscale xy
set xrange [x0:x1]
set yrange [y0:y1]
set format x "%g"
set format y "%g"
set key bottom right Left reverse samplen 1 font ",11"
set tmargin 4
# A slope of 1 as it looks in a frame of these proportions.
steep = atan2(0.68*560/log10(y1/y0), 0.87*900/log10(x1/x0))*180/pi
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot for [i=0:roofs-1] data index i using 1:2 with lines lc rgb "#777777" lw 1.5 dt 1 notitle, \
         data index roofs using 1:2:3 with labels left rotate by steep offset 0,0.7 font ",10" textcolor rgb "#444444" noenhanced notitle, \
         data index roofs+1 using 1:2:3 with labels right offset 0,0.6 font ",10" textcolor rgb "#444444" noenhanced notitle, \
         for [i=0:series-1] data index (roofs+4+i) using 1:2 with points lt (i+1) ps 1.5 title columnheader(1), \
         data index roofs+2 using 1:2:3 with labels right offset -1.2,0.3 font ",10" noenhanced notitle, \
         data index roofs+3 using 1:2:3 with labels left offset 1.2,0.3 font ",10" noenhanced notitle
    unset output
}
