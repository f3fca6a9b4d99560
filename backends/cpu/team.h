/* SPDX-License-Identifier: Apache-2.0 */
/* A team of threads that stays alive between runs of a plan: the caller is member 0. Who waits for
 * another spins for a short while, since that one is usually microseconds away, then sleeps, so
 * that a busy machine's core goes to whoever has work. */
#ifndef JM_BACKENDS_CPU_TEAM_H
#define JM_BACKENDS_CPU_TEAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct jm_team jm_team;
typedef void jm_team_fn(void *arg, uint32_t member);

/* n >= 1 members, worker i bound to the i-th core by hwloc where the OS allows and
 * there are as many. */
jm_status jm_team_open(uint32_t n, jm_team **out, jm_err *err);
void jm_team_close(jm_team *t); /* takes NULL; no run may be under way */
uint32_t jm_team_size(const jm_team *t);

/* Runs fn(arg, member) on all members; returns when all have returned. */
void jm_team_run(jm_team *t, jm_team_fn *fn, void *arg);

/* Memory that a member is about to read. */
struct jm_ahead {
    const void *data;
    size_t bytes;
};

/* Within a run, by every member: nobody goes on before all have come here. Who waits brings `ahead`
 * into its caches meanwhile; bytes may be 0. */
void jm_team_barrier(jm_team *t, uint32_t member, struct jm_ahead ahead);

#endif
