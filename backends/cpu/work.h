/* SPDX-License-Identifier: Apache-2.0 */
/* How many operations a step takes, and how many bytes it has to move: formulas, no measurement. A
 * multiplication and an addition count as one each, and so do a division, a root, an exponential
 * and a comparison. */
#ifndef JM_BACKENDS_CPU_WORK_H
#define JM_BACKENDS_CPU_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/cpu/plan.h"

/* Sums over some batches of one entry. */
struct jm_tally {
    uint64_t batches;
    uint64_t rows[3];       /* by enum jm_rows */
    uint64_t seen[3];       /* positions that those rows attend in ATTENTION, each its own */
    uint64_t positions;     /* positions read of the caches: a sequence's once a batch */
    uint64_t run_seen;      /* positions that rows attend in ATTEND_RUN */
    uint64_t run_positions; /* positions laid out for it: prefix and rows of each run */
    uint64_t weight_reads;  /* of all weights: 1 a batch, or the threads that read all of them */
};

/* Adds one batch. readers: see weight_reads. */
void jm_tally_add(struct jm_tally *t, const struct jm_batch *b, uint32_t readers);

struct jm_work {
    double operations, bytes;
    double set_bytes; /* as in struct jm_profile_op */
    enum jm_roof_kind kind;
    const char *kernel; /* "I16"; "": nothing is multiplied by a weight */
};

/* What step i of the plan did in all of those batches. */
void jm_cpu_work(const struct jm_plan *p, uint32_t step, const struct jm_tally *t,
                 struct jm_work *out);

#endif
