/* SPDX-License-Identifier: Apache-2.0 */
/* How much larger b is than a, as a ratio with an interval, from few and oddly distributed runs. */
#ifndef JM_HARNESS_STATS_BOOTSTRAP_H
#define JM_HARNESS_STATS_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Fewer values a side support no 95% interval of a median: with 4, even their whole range covers
 * it only with 1 - 2 / 2^4 = 87.5%. */
enum { JM_BOOTSTRAP_MIN = 5 };

struct jm_bootstrap {
    bool paired;        /* na == nb, a[i] and b[i] belong together */
    double level;       /* 0.95 */
    uint32_t resamples; /* 200 to 100000 */
    uint64_t seed;
};

struct jm_ratio {
    double value;     /* median(b) / median(a); paired: median of b[i] / a[i] */
    double low, high; /* NAN: too few values for an interval */
};

/* Middle of v [n], mean of the middle two when n is even; NAN when n is 0. Reorders v. */
double jm_median(double *v, size_t n);

/**
 * The ratio and its BCa interval (bias-corrected and accelerated bootstrap; both sides resampled,
 * or pairs where paired; acceleration from the jackknife of both). The same seed gives the same
 * interval on every machine.
 *
 * a, b  [na], [nb] finite and above 0
 *
 * JM_ERANGE: values empty, not finite or not above 0. JM_EUSAGE: sizes of pairs differ, level or
 * resamples out of bounds. JM_ENOMEM.
 * Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), 14.3; two samples after
 * Davison and Hinkley, Bootstrap Methods and their Application (1997), 5.3.2.
 */
jm_status jm_ratio_interval(const double *a, size_t na, const double *b, size_t nb,
                            const struct jm_bootstrap *how, struct jm_ratio *out, jm_err *err);

#endif
