/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time of a plan's batches goes: each thread reads a clock between its steps and around
 * each wait. Off it costs a branch a step. */
#ifndef JM_BACKENDS_CPU_PROFILE_H
#define JM_BACKENDS_CPU_PROFILE_H

#include "backends/cpu/plan.h"

/* As jm_backend_ops.profile, profile_batches, profile_op. */
jm_status jm_cpu_profile(jm_plan *p, bool on, jm_err *err);
bool jm_cpu_profile_batches(const jm_plan *p, uint32_t class, struct jm_profile_batches *out);
bool jm_cpu_profile_op(const jm_plan *p, uint32_t class, uint32_t node, struct jm_profile_op *out);
void jm_cpu_profile_close(jm_plan *p); /* nothing to do where it is off */

/* From here on only where p->profile is not NULL. By the thread that runs a batch: before it, and
 * after the last step of all. */
void jm_cpu_profile_enter(jm_plan *p);
void jm_cpu_profile_leave(jm_plan *p);
/* By thread m: before its first step, and after each. */
void jm_cpu_profile_begin(jm_plan *p, uint32_t m);
void jm_cpu_profile_step(jm_plan *p, uint32_t step, uint32_t m);
/* jm_team_barrier, timed as a wait. */
void jm_cpu_profile_meet(const jm_plan *p, uint32_t m, struct jm_ahead ahead);

/* The barrier of all steps. */
static inline void jm_cpu_meet(const jm_plan *p, uint32_t m, struct jm_ahead ahead)
{
    if (p->profile)
        jm_cpu_profile_meet(p, m, ahead);
    else
        jm_team_barrier(p->dev->team, m, ahead);
}

#endif
