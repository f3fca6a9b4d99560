/* SPDX-License-Identifier: Apache-2.0 */
/* The one clock of the product. CLOCK_MONOTONIC_RAW: neither NTP steps nor slewing move it. */
#ifndef JM_BASE_CLOCK_H
#define JM_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds since an arbitrary start. Never fails on Linux (the clock id is compiled in). */
static inline int64_t jm_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
