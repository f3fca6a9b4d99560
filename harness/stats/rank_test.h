/* SPDX-License-Identifier: Apache-2.0 */
/* Rank tests: whether two sets of runs differ, without assuming a shape for the noise. */
#ifndef JM_HARNESS_STATS_RANK_TEST_H
#define JM_HARNESS_STATS_RANK_TEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct jm_rank_test {
    double statistic; /* Mann-Whitney: U of b; Wilcoxon: rank sum of the positive b - a */
    double p;         /* two-sided */
    double effect;    /* -1 to 1; above 0: b is larger */
    bool exact;       /* p counts permutations; false: normal approximation */
};

/**
 * Mann-Whitney U of independent values. U is the number of pairs with b above a, ties half.
 *
 * a, b  [na], [nb] finite
 *
 * p is exact without ties and up to 50 values a side; otherwise from the normal approximation with
 * corrections for ties and continuity. effect is Cliff's delta, 2 U / (na nb) - 1.
 * JM_ERANGE: a side is empty or a value is not finite. JM_ENOMEM.
 * Source: Mann and Whitney, Ann. Math. Stat. 18 (1947) 50; Lehmann, Nonparametrics (1975), 1.4.
 */
jm_status jm_mann_whitney(const double *a, size_t na, const double *b, size_t nb,
                          struct jm_rank_test *out, jm_err *err);

/**
 * Wilcoxon's signed-rank test of pairs (a[i], b[i]); pairs without a difference are left out.
 *
 * p is exact without ties and zeros and up to 100 pairs; otherwise from the normal approximation
 * with corrections for ties and continuity; 1 where no pair differs. effect is the matched-pairs
 * rank-biserial correlation, (R+ - R-) / (R+ + R-). Errors as above.
 * Source: Wilcoxon, Biometrics 1 (1945) 80; Kerby, Comprehensive Psychology 3 (2014) 11.IT.3.1.
 */
jm_status jm_wilcoxon(const double *a, const double *b, size_t n, struct jm_rank_test *out,
                      jm_err *err);

/* Holm's correction in place: p [n] becomes the adjusted values. NAN stays and does not count as a
 * test. n <= 4096, else JM_ERANGE. Source: Holm, Scand. J. Statistics 6 (1979) 65. */
jm_status jm_holm(double *p, size_t n, jm_err *err);

#endif
