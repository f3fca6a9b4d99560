/* SPDX-License-Identifier: Apache-2.0 */
/* What reading energy meters costs a run: the null system with them and without. */
#ifndef JM_HARNESS_LOAD_METER_COST_H
#define JM_HARNESS_LOAD_METER_COST_H

#include <stdbool.h>

#include "base/status.h"
#include "harness/stats/bootstrap.h"

struct jm_meter_cost {
    bool available;
    char reason[200];      /* why not */
    struct jm_ratio ratio; /* time of a query, meters on over off; 95% BCa interval of pairs */
    double share;          /* jm_session_reading_share, median over the windows with meters */
};

/**
 * Alternates single-stream windows of up to 0.2 s on a system that answers at once, without and
 * with the meters being read as in a run (A B B A, ten of each). meters: as --energy. Where there
 * is no meter that is no error: out says so. Takes about 5 s, 0.3 s a meter and pair more.
 * JM_EUSAGE, JM_EUNSUPPORTED, JM_EIO as jm_session_open; others as jm_load_run.
 */
jm_status jm_meter_cost_measure(const char *meters, struct jm_meter_cost *out, jm_err *err);

#endif
