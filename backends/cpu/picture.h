/* SPDX-License-Identifier: Apache-2.0 */
/* What pictures need beyond text: how a plan prepares and runs the operations of runs, cells and
 * parts of heads. */
#ifndef JM_BACKENDS_CPU_PICTURE_H
#define JM_BACKENDS_CPU_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct jm_plan;
struct jm_step;
struct jm_batch;

/* Compiling: tables, work space and decoded vectors of one step, after what compile.c does. */
jm_status jm_cpu_picture_prepare(struct jm_plan *p, uint32_t step, jm_err *err);
/* Floats of work space that a thread needs for these operations; 0: none. SIZE_MAX: too many. */
size_t jm_cpu_picture_scratch(const struct jm_plan *p);

/* Whether jm_cpu_picture_run runs the step; otherwise execute.c does. */
bool jm_cpu_picture_runs(const struct jm_step *s);
/* Whether a thread does all of runs [from, to) by itself; otherwise all threads share all runs. */
struct jm_cpu_runs {
    uint32_t from, to;
    bool alone;
};
/* Thread m's part of a step, rows [from, to) of it unless it attends; the caller puts the barrier
 * before, and quantises what ATTEND_RUN makes. */
void jm_cpu_picture_run(struct jm_plan *p, struct jm_step *s, uint32_t from, uint32_t to,
                        struct jm_cpu_runs runs, uint32_t m);
/* Adds a linear's bias to outputs [from, to) of some rows y [rows, outputs]. */
void jm_cpu_add_bias(const struct jm_step *s, float *y, uint32_t rows, uint32_t from, uint32_t to);

/* Runs, picture positions and inputs of a batch, against the plan's limits. */
jm_status jm_cpu_picture_check(const struct jm_plan *p, const struct jm_batch *in, jm_err *err);
/* Where the runs of a checked batch lie, for jm_cpu_picture_run. */
void jm_cpu_picture_begin(struct jm_plan *p);

#endif
