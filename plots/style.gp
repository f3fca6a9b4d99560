# SPDX-License-Identifier: Apache-2.0
# What all plots share: a colour-blind safe palette (Okabe and Ito, 2008), frame, fonts, caption.
# Strings from results are drawn as they are (noenhanced): an underscore is an underscore.
set encoding utf8
set datafile separator whitespace
set datafile missing "?"
set border 3 lc rgb "#444444"
set tics nomirror out textcolor rgb "#222222"
set grid lc rgb "#c4c4c4" lw 0.8
set key noenhanced
set xtics noenhanced
set linetype 1 lc rgb "#0072B2" lw 2 pt 7 dt 1
set linetype 2 lc rgb "#D55E00" lw 2 pt 5 dt 1
set linetype 3 lc rgb "#009E73" lw 2 pt 9 dt 1
set linetype 4 lc rgb "#CC79A7" lw 2 pt 11 dt 1
set linetype 5 lc rgb "#E69F00" lw 2 pt 13 dt 1
set linetype 6 lc rgb "#56B4E9" lw 2 pt 6 dt 1
set linetype 7 lc rgb "#000000" lw 2 pt 4 dt 1
set linetype cycle 7
set lmargin 11
set rmargin 4
set tmargin 5
set bmargin 6
# Long lines become small rather than cut: what fits at the usual size over what there is.
fit(text, size, most) = sprintf(",%.1f", strlen(text) > most ? size*real(most)/strlen(text) : size)
set label 98 heading at screen 0.5,0.945 center noenhanced font fit(heading, 13, 95)
set label 99 caption at screen 0.02,0.025 left noenhanced font fit(caption, 10, 135) textcolor rgb "#555555"
SVG = 'svg size 900,560 font "Sans,13" background rgb "white"'
PNG = 'pngcairo size 1350,840 font "Sans,13" fontscale 1.4 background rgb "white"'
