/* SPDX-License-Identifier: Apache-2.0 */
/* A results file as one side of a comparison. */
#ifndef JM_HARNESS_COMPARE_SELECT_H
#define JM_HARNESS_COMPARE_SELECT_H

#include <stddef.h>

#include "base/status.h"
#include "harness/compare/pair.h"

struct jm_side {
    struct jm_record *rows; /* [n_rows] the whole file */
    size_t n_rows;
    struct jm_runs runs; /* those to compare */
    size_t left_out;     /* runs that match but are no result */
    char reason[512];    /* of the first left out */
};

/**
 * Reads a results file and selects its complete runs.
 *
 * filter  "FIELD=VALUE": only runs whose field is printed so; NULL: all
 *
 * End with jm_side_free, also after a failure. JM_EUSAGE: filter has no = or names no column;
 * JM_EINPUT: a run stands in it twice; otherwise as jm_csv_read.
 */
jm_status jm_side_read(const char *path, const char *filter, struct jm_side *out, jm_err *err);
void jm_side_free(struct jm_side *s);

/* Why a run is no result ("status is interrupted: …"): "" when it is one. Anything but "complete"
 * is none, an unknown or empty status as well. */
void jm_run_objection(const struct jm_record *r, char out[512]);

/* A run that is in both, by its run_id; of one set with itself: that stands in it twice, as where
 * files were put together. *out NULL: none. JM_ENOMEM. */
jm_status jm_run_shared(const struct jm_runs *a, const struct jm_runs *b,
                        const struct jm_record **out, jm_err *err);

#endif
