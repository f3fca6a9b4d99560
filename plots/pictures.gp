# SPDX-License-Identifier: Apache-2.0
# What each weight format draws: a row a format, a column a caption.
# Data: two blocks of x, y in pixels from the lower left corner, text: each row's left end with its
# label, each column's top with its caption; the sheet of pictures is the data file's name with .png
# after it.
# Arguments: data file, output path without extension, title, caption, folder of style.gp.
data = ARG1; out = ARG2; heading = ARG3; caption = ARG4; folder = ARG5
load folder."/style.gp"
unset border
unset tics
unset grid
set lmargin 10
# The frame shrinks to the sheet, and a title would follow it into the captions.
unset title
set label 98 heading at screen 0.5,0.94 center noenhanced
set size ratio -1
do for [t in "svg png"] {
    if (t eq "svg") { set terminal @SVG } else { set terminal @PNG }
    set output out.".".t
    plot data.".png" binary filetype=png with rgbimage notitle, \
         data index 0 using 1:2:3 with labels right offset -1,0 noenhanced notitle, \
         data index 1 using 1:2:3 with labels center offset 0,0.7 font ",10" noenhanced notitle
    unset output
}
