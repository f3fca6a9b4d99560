/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for what gnuplot reads. */
#ifndef JM_HARNESS_PLOT_SCRATCH_H
#define JM_HARNESS_PLOT_SCRATCH_H

#include "base/status.h"

struct jm_scratch {
    char *scripts; /* share/joulemark/plots */
    char *data;    /* a file's path; others may stand beside it */
    char dir[32];
};

/* JM_ENOTFOUND: there are no scripts. JM_EIO; JM_ENOMEM. Nothing is left then. */
jm_status jm_scratch_open(struct jm_scratch *s, jm_err *err);
/* Removes the folder with its files. */
void jm_scratch_close(struct jm_scratch *s);

#endif
