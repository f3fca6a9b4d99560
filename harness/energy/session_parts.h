/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c and its writer share; nobody else includes it. */
#ifndef JM_HARNESS_ENERGY_SESSION_PARTS_H
#define JM_HARNESS_ENERGY_SESSION_PARTS_H

#include "harness/energy/recorder.h"
#include "harness/energy/session.h"

/* One meter. */
struct jm_channel {
    const struct jm_meter_ops *ops;
    jm_meter *meter;
    jm_recorder *recorder;                          /* NULL before the first phase */
    double update_s;                                /* as seen, or claimed */
    int64_t begin_ns[JM_PHASES], end_ns[JM_PHASES]; /* 0: has not */
};

struct jm_session {
    struct jm_channel channel[JM_SESSION_METERS];
    size_t n;
    bool started, ended, denied;
    enum jm_phase phase; /* JM_PHASES: none */
    double interval_s, stated_error;
    int64_t begin_cpu_ns[JM_PHASES], end_cpu_ns[JM_PHASES]; /* spent on reading so far */
    int64_t trial_ns, trial_cpu_ns;                         /* when a trial began */
    char reason[JM_ENERGY_REASON];                          /* why there are no meters */
};

/* The word in the source column. */
const char *jm_channel_source(const struct jm_channel *c);

/* Processor time of all reading threads so far, and of programs that they ran, nanoseconds. */
int64_t jm_session_cpu_ns(const jm_session *s);

/* The length of a step for its peak power. */
double jm_channel_step_s(const struct jm_channel *c);

void jm_channel_window(const struct jm_channel *c, enum jm_phase phase, struct jm_window *out);

#endif
