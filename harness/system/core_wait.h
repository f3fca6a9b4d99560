/* SPDX-License-Identifier: Apache-2.0 */
/* How long the calling thread was ready to run and had no core: evidence that others were busy. */
#ifndef JM_HARNESS_SYSTEM_CORE_WAIT_H
#define JM_HARNESS_SYSTEM_CORE_WAIT_H

#include <stdint.h>

struct jm_core_wait {
    int64_t at_ns;   /* jm_now_ns of the reading */
    int64_t wait_ns; /* since the thread began; -1: unavailable */
};

/* Of the calling thread. Source: /proc/thread-self/schedstat, its second field. */
struct jm_core_wait jm_core_wait_read(void);

/* Share of the time between two readings; NAN where either is unavailable. */
double jm_core_wait_share(struct jm_core_wait a, struct jm_core_wait b);

#endif
