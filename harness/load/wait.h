/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a moment to within a microsecond: sleep, then spin the last stretch, as a sleeper
 * wakes late by some tens of microseconds. */
#ifndef JM_HARNESS_LOAD_WAIT_H
#define JM_HARNESS_LOAD_WAIT_H

#include <stdint.h>

/* Lowers this thread's timer slack; returns what it was for jm_wait_end to set again. */
int jm_wait_begin(void);
void jm_wait_end(int slack_ns);

/* Returns at at_ns (jm_now_ns) or soon after; also after a signal, or after a tenth of a second,
 * so that the caller can look at what else goes on. */
void jm_wait_until(int64_t at_ns);

#endif
