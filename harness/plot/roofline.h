/* SPDX-License-Identifier: Apache-2.0 */
/* The plot of a roofline. */
#ifndef JM_HARNESS_PLOT_ROOFLINE_H
#define JM_HARNESS_PLOT_ROOFLINE_H

#include <signal.h>

#include "harness/roofline/run.h"

/* dir/roofline.svg and dir/roofline.png. JM_ENOTFOUND: gnuplot or the scripts are missing.
 * JM_EINTERRUPTED: *stop was set. */
jm_status jm_plot_roofline(const struct jm_roofline *r, const char *dir,
                           const volatile sig_atomic_t *stop, jm_err *err);

#endif
