/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a moment to within a microsecond: sleep, then spin the last stretch, as a sleeper
 * wakes late by some tens of microseconds. How late is measured, and the stretch follows it. */
#ifndef JM_HARNESS_LOAD_WAIT_H
#define JM_HARNESS_LOAD_WAIT_H

#include <stdint.h>

struct jm_wait {
    int slack_ns;   /* this thread's timer slack as it was */
    double spin_ns; /* before the moment, sleep ends and spinning begins */
};

/* Lowers this thread's timer slack and looks how late it wakes, which takes a tenth of a second:
 * rare late wakings would otherwise be learnt from arrivals. */
void jm_wait_begin(struct jm_wait *w);
void jm_wait_end(const struct jm_wait *w);

/* Returns at at_ns (jm_now_ns) or soon after; also after a signal, or after a tenth of a second,
 * so that the caller can look at what else goes on. */
void jm_wait_until(struct jm_wait *w, int64_t at_ns);

/* A sleep ended late_ns after it should: the stretch becomes longer at once, and at least as long,
 * where that was beyond it, and otherwise shorter by so little that in the long run one sleep in
 * 1,000 is beyond it, far fewer than a 99th percentile shows. Stays within 50 us to 2 ms: what
 * wakes later than that waits for a core, and no spinning helps. */
void jm_wait_learn(struct jm_wait *w, int64_t late_ns);

#endif
