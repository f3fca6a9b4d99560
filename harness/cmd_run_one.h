/* SPDX-License-Identifier: Apache-2.0 */
/* One run from start to record. */
#ifndef JM_HARNESS_CMD_RUN_ONE_H
#define JM_HARNESS_CMD_RUN_ONE_H

#include <signal.h>

#include "harness/progress.h"
#include "harness/record/columns.h"
#include "harness/suite.h"

struct jm_run_place {
    const char *results; /* folder: the CSV, a folder a run, references/, models/ */
    const char *suite;   /* name, for the record and the folder's name */
    const volatile sig_atomic_t *stop;
    enum jm_progress_mode mode;
    struct jm_progress *progress;
    double null_ns; /* what a query costs the harness: jm_null_cost_ns; NAN: not measured */
};

/**
 * Runs c and fills *row, also when the run fails or is stopped: status and status_reason say so.
 * Writes the run's folder. The returned status is why the run is not complete; JM_OK otherwise.
 */
jm_status jm_run_one(const struct jm_run_config *c, const struct jm_run_place *place,
                     struct jm_record *row, jm_err *err);

/* Adds the row of a run to csv, at once. Where it cannot be kept, the run's folder, which no row
 * names, is removed. As jm_csv_append. */
jm_status jm_run_keep(const char *csv, const struct jm_run_place *place,
                      const struct jm_record *row, jm_err *err);

/* The row of a run that an interruption left out: what it would have been, status "not run". */
void jm_run_skip(const struct jm_run_config *c, const struct jm_run_place *place,
                 struct jm_record *row);

#endif
