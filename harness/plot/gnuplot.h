/* SPDX-License-Identifier: Apache-2.0 */
/* Runs gnuplot on a script. */
#ifndef JM_HARNESS_PLOT_GNUPLOT_H
#define JM_HARNESS_PLOT_GNUPLOT_H

#include "base/status.h"

/* argv: "gnuplot", "-c", script, arguments, NULL. log: a file for its messages, which stays; of
 * series without points it warns, which is nothing to read. JM_ENOTFOUND: it is not installed.
 * JM_EIO: it failed; the text has its first line. */
jm_status jm_plot_gnuplot(char *const argv[], const char *log, jm_err *err);

#endif
