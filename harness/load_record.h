/* SPDX-License-Identifier: Apache-2.0 */
/* What the load generator and its statistics have to say in a record. */
#ifndef JM_HARNESS_LOAD_RECORD_H
#define JM_HARNESS_LOAD_RECORD_H

#include "harness/record/columns.h"
#include "harness/stats/latency.h"

/* The bounds of percentiles, and which percentiles have one. */
void jm_record_bounds(struct jm_record *row, const struct jm_latency *l);

#endif
