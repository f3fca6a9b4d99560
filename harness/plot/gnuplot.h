/* SPDX-License-Identifier: Apache-2.0 */
/* Runs gnuplot on a script of plots/. */
#ifndef JM_HARNESS_PLOT_GNUPLOT_H
#define JM_HARNESS_PLOT_GNUPLOT_H

#include <signal.h>

#include "base/status.h"

enum { JM_GNUPLOT_EXTRA = 3 };

/* The scripts' arguments, in this order after `script`. */
struct jm_gnuplot {
    const char *script;                  /* "throughput": SCRIPTS/throughput.gp */
    const char *data;                    /* file, in a scratch folder of the caller's */
    const char *out;                     /* path without .svg and .png: both come whole or not */
    const char *heading, *caption;       /* lines above and below */
    const char *scripts;                 /* folder */
    const char *extra[JM_GNUPLOT_EXTRA]; /* the script's own; NULL: none, and none after it */
};

/**
 * What gnuplot says goes to DATA.log, which stays; of series without points it warns, which is
 * nothing to read. Ends it once *stop is set (stop NULL: never).
 *
 * JM_ENOTFOUND: it is not installed. JM_EIO: it failed; the text has its first line.
 * JM_EINTERRUPTED.
 */
jm_status jm_gnuplot_run(const struct jm_gnuplot *g, const volatile sig_atomic_t *stop,
                         jm_err *err);

#endif
