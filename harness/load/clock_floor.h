/* SPDX-License-Identifier: Apache-2.0 */
/* How punctual this machine lets any program be: what a loop that only reads the clock misses. */
#ifndef JM_HARNESS_LOAD_CLOCK_FLOOR_H
#define JM_HARNESS_LOAD_CLOCK_FLOOR_H

#include <stddef.h>

/**
 * Reads the clock for so many seconds without pause, and returns the 99th percentile of how late
 * that loop would notice a moment chosen at random: a moment in a gap of g seconds is noticed up to
 * g late, all of these equally likely. Interrupts, a hypervisor and other programs make the gaps;
 * nothing that waits for a moment can be more punctual.
 */
double jm_clock_floor_s(double seconds);

/* The same of n gaps in a loop of total_s: the x for which the sum of (gap - x) over gaps longer
 * than x is a hundredth of total_s. 0: no gaps are that long. */
double jm_clock_floor_of(const double *gap_s, size_t n, double total_s);

#endif
