/* SPDX-License-Identifier: Apache-2.0 */
/* Whether time that went by was no time of ours: the program stopped (SIGSTOP, Ctrl-Z) and
 * continued, or the machine asleep. Both the kernel tells for certain; a slow answer is neither. */
#ifndef JM_HARNESS_SYSTEM_STANDSTILL_H
#define JM_HARNESS_SYSTEM_STANDSTILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jm_standstill {
    /* What the machine has slept since it started, at the beginning and the end: CLOCK_BOOTTIME
     * counts sleep and CLOCK_MONOTONIC does not. They are read one after the other, so these are
     * bounds: the most at the beginning, the least at the end. */
    int64_t slept_most_ns, slept_least_ns;
    int continued; /* times SIGCONT came in between */
};

/* Around what is timed; one at a time in a program. */
void jm_standstill_begin(struct jm_standstill *s);
void jm_standstill_end(struct jm_standstill *s);

/* false: there was none; else why has a sentence. */
bool jm_standstill_seen(const struct jm_standstill *s, char *why, size_t room);

#endif
