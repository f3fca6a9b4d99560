/* SPDX-License-Identifier: Apache-2.0 */
/* How many queries support a percentile. Of n independent queries, t were over a limit; the claim
 * "a share p of all queries is within the limit" holds at a confidence c when so few would be over
 * by chance with probability 1 - c at most: P[Bin(n, 1 - p) <= t] <= 1 - c. Source: the
 * early-stopping rule of MLPerf Inference. */
#ifndef JM_HARNESS_STATS_EARLY_STOPPING_H
#define JM_HARNESS_STATS_EARLY_STOPPING_H

#include <stdbool.h>
#include <stdint.h>

/* The confidence of every claim in a record. */
#define JM_CONFIDENCE 0.99

/* P[Bin(n, 1 - p) <= t], 0 < p < 1: the regularised incomplete beta function I(p; n - t, t + 1),
 * by its continued fraction. Absolute error below 1e-8 for n up to 2^32. 1 where t >= n. */
double jm_binomial_at_most(uint64_t n, uint64_t t, double p);

/* Whether t of n over the limit support percentile p at JM_CONFIDENCE. */
bool jm_percentile_holds(uint64_t n, uint64_t t, double p);

/* The fewest queries that do so with t over: 459 for t = 0 and p = 0.99. t below 2^31, p up to
 * 0.9999. */
uint64_t jm_percentile_min_n(uint64_t t, double p);

/* The most queries over the limit that n can afford. false: not even 0. */
bool jm_percentile_max_over(uint64_t n, double p, uint64_t *t);

/* Where a run of n queries bounds percentile p: of the sorted latencies, *index is the lowest that
 * at JM_CONFIDENCE is no lower than the percentile. It has t >= 1 values from itself on, t the
 * most that n can afford. false: n is too small for t = 1. */
bool jm_percentile_bound(uint64_t n, double p, uint64_t *index);

#endif
