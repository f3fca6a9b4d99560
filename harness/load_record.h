/* SPDX-License-Identifier: Apache-2.0 */
/* Between a run and the load generator: its settings, and what it has to say in a record. */
#ifndef JM_HARNESS_LOAD_RECORD_H
#define JM_HARNESS_LOAD_RECORD_H

#include "harness/load/load.h"
#include "harness/load/meter_cost.h"
#include "harness/load/peak.h"
#include "harness/load/verdict.h"
#include "harness/record/columns.h"
#include "harness/stats/latency.h"
#include "harness/suite.h"
#include "harness/system/core_wait.h"
#include "harness/system/frequency.h"
#include "harness/system/standstill.h"

/* A window and what surrounded it. */
struct jm_load_evidence {
    struct jm_load_config cfg; /* as it ran */
    struct jm_load_result result;
    struct jm_peak peak; /* n == 0: the rate was given */
    struct jm_frequency before, after;
    struct jm_core_wait wait_before, wait_after;
    struct jm_standstill standstill;
    double null_ns;     /* jm_null_cost_ns; NAN: not measured */
    double meter_share; /* jm_session_reading_share; NAN: no meter */
    struct jm_meter_cost meters;
    struct jm_verdict verdict; /* or why there is no peak */
};

/* Scenario, sizes and bounds; the rest of *out stays. JM_ENOTFOUND: no such scenario. JM_EUSAGE: a
 * rate is missing, or a peak is wanted of another scenario. */
jm_status jm_load_settings(const struct jm_run_config *c, struct jm_load_config *out, jm_err *err);

/* Runs the window of e->cfg, or the search for the highest rate. A search that finds none is no
 * error: e->verdict says why. Judges the window whatever the status. */
jm_status jm_load_measure(const struct jm_sut *sut, bool find_peak, struct jm_load_evidence *e,
                          jm_err *err);

/* Statistics with latency as the scenario defines it. n_samples: of the data set. */
jm_status jm_load_latency(const struct jm_load_evidence *e, uint32_t n_samples,
                          struct jm_latency *out, jm_err *err);

/* Columns of scenario, bounds, delays, cost and clocks. A standstill in the window makes the
 * verdict invalid, whatever else fell short: that may come of it. So does measuring that costs over
 * 1 % of what it measures, queries and meters together. Meters cost their share, or the difference
 * that they make for certain where that is more. */
void jm_record_load(struct jm_record *row, struct jm_load_evidence *e, const struct jm_latency *l);

/* peak.csv in dir, if there was a search: one row a window. */
jm_status jm_load_write_peak(const char *dir, const struct jm_peak *peak, jm_err *err);

#endif
