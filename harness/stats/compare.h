/* SPDX-License-Identifier: Apache-2.0 */
/* Two sets of runs, one metric: how they differ, how sure that is, and how many more runs it would
 * take to know. */
#ifndef JM_HARNESS_STATS_COMPARE_H
#define JM_HARNESS_STATS_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "harness/stats/bootstrap.h"

struct jm_comparison {
    size_t na, nb;
    bool paired;
    double median_a, median_b;
    struct jm_ratio ratio; /* b over a */
    double p;              /* Mann-Whitney, or Wilcoxon when paired; NAN with one run on a side */
    double effect;         /* Cliff's delta, or matched-pairs rank-biserial; NAN with p */
    double spread;         /* standard deviation of ln, of one run (paired: of a pair's ratio) */
};

/* Compares b [nb] with a [na]; values finite and above 0. Errors as jm_ratio_interval's. */
jm_status jm_compare(const double *a, size_t na, const double *b, size_t nb,
                     const struct jm_bootstrap *how, struct jm_comparison *out, jm_err *err);

/**
 * Runs a side (or pairs) that find a relative difference `step` (0.03: 3%) at two-sided p < 0.05
 * with probability `power`, with noise `spread` as above. Never below 9: fewer leave the exact test
 * no room for a correction across metrics. NAN when spread is unknown.
 *
 * n = k (z(0.975) + z(power))^2 spread^2 / ln(1 + step)^2 / (3 / pi), k = 2, or 1 when paired:
 * the normal test's size over the rank test's relative efficiency under normal noise.
 * Source: Lehmann, Nonparametrics (1975), 2.4 and 4.3.
 */
double jm_needed_runs(double spread, double step, double power, bool paired);

#endif
