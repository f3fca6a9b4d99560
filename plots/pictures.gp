# SPDX-License-Identifier: Apache-2.0
# What each weight format draws: a row a format, a column a caption.
# Data: blocks of x, y in pixels from the lower left corner, text: each row's left end with its label;
# then five of each column's top with lines of its caption, the lowest lines first. The sheet of
# pictures is the data file's name with .png after it.
# Arguments: data file, output path without extension, title, caption, folder of style.gp.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
load folder."/style.gp"
unset border
unset tics
unset grid
stats data index 0 using (strlen(stringcolumn(3))) nooutput
set lmargin (STATS_max < 7 ? 10 : STATS_max + 4)
set size ratio -1
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot data.".png" binary filetype=png with rgbimage notitle, \
         data index 0 using 1:2:3 with labels right offset -1,0 noenhanced notitle, \
         for [i=0:4] data index 1+i using 1:2:3 with labels center offset 0,0.7+0.85*i font ",9" noenhanced notitle
    unset output
}
