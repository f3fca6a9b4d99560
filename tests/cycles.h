/* SPDX-License-Identifier: Apache-2.0 */
/* A processor's own clock, for benchmarks: cycles of the core where the kernel of the OS lets a
 * program count them, else the ticks of x86's time stamp counter, which run at one rate whatever
 * the core does, else nothing. */
#ifndef JM_TESTS_CYCLES_H
#define JM_TESTS_CYCLES_H

#include <stdbool.h>
#include <stdint.h>

/* Chooses; returns one line that says what is counted, or why nothing is. */
const char *jm_cycles_open(void);

/* Since an arbitrary start. False when nothing is counted. */
bool jm_cycles_now(uint64_t *out);

#endif
