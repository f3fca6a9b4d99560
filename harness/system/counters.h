/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware counters of all threads of this process over a window, through PAPI. */
#ifndef JM_HARNESS_SYSTEM_COUNTERS_H
#define JM_HARNESS_SYSTEM_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

struct jm_counts {
    bool available;
    char reason[160]; /* why not; empty when available */
    /* NAN unless available; cache_misses also where the processor has no such event. */
    double instructions, cycles;
    double cache_misses; /* of the last level (L3) */
    uint32_t threads;    /* that were counted */
};

typedef struct jm_counters jm_counters;

/**
 * Starts counting user code of every thread that there is now; threads made later are not counted.
 * Never fails: where nothing can be counted (a virtual machine, no permission), end says why.
 * NULL: no memory.
 */
jm_counters *jm_counters_begin(void);

/* Stops, adds up, frees. c may be NULL: unavailable. A thread that ended meanwhile is counted until
 * its end. */
void jm_counters_end(jm_counters *c, struct jm_counts *out);

#endif
