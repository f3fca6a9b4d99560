/* SPDX-License-Identifier: Apache-2.0 */
/* What reading energy meters costs a run: the null system with them and without. */
#ifndef JM_HARNESS_LOAD_METER_COST_H
#define JM_HARNESS_LOAD_METER_COST_H

#include <signal.h>
#include <stdbool.h>

#include "base/status.h"
#include "harness/energy/session.h"
#include "harness/stats/bootstrap.h"

struct jm_meter_cost {
    bool available;
    char reason[200];      /* why not */
    struct jm_ratio ratio; /* time of a query, meters on over off; 99% BCa interval of pairs */
    double share;          /* jm_session_trial_end, median over the windows with meters */
};

/**
 * Alternates single-stream windows on a system that answers at once, without and with the session's
 * meters being read as in a run (A B B A, eight of each): 0.1 s, or with meters what a reading
 * takes that comes more rarely. s: before its first phase. Where there is nothing to read, or too
 * rarely to see it, that is no error: out says so. stop: as jm_load_config. Takes about 2 s, 8
 * readings' time for slow meters. Errors as jm_load_run and jm_session_trial_begin.
 */
jm_status jm_meter_cost_measure(jm_session *s, const volatile sig_atomic_t *stop,
                                struct jm_meter_cost *out, jm_err *err);

#endif
