/* SPDX-License-Identifier: Apache-2.0 */
/* From the runs that were asked for to those that are made: presets, repeats and their order. */
#ifndef JM_HARNESS_ORDER_H
#define JM_HARNESS_ORDER_H

#include "harness/suite.h"

enum { JM_MAX_LAID_OUT = 10000 }; /* runs, repeats counted */

/**
 * Sets durations, counts and repeats as c->preset says, except those that were given. quick takes
 * seconds; standard has queries for a 99th percentile and repeats for a comparison; submission has
 * MLPerf's 600 s, and its 24,576 samples offline. JM_EUSAGE: no such preset.
 */
jm_status jm_preset_apply(struct jm_run_config *c, jm_err *err);

/**
 * Lays out runs [n], each as often as it asks for: in rounds, so that what changes with time
 * changes for all alike. Where any run asks for it each round is shuffled, by the first run's seed.
 * *out [*n_out] is the caller's to free. JM_EUSAGE, JM_ENOMEM.
 */
jm_status jm_order_runs(const struct jm_run_config *runs, size_t n, struct jm_run_config **out,
                        size_t *n_out, jm_err *err);

#endif
