/* SPDX-License-Identifier: Apache-2.0 */
/* See early_stopping.h. The incomplete beta function: DLMF 8.17.22, evaluated from the front
 * (Lentz 1976 as changed by Thompson and Barnett 1986). */
#include "harness/stats/early_stopping.h"

#include <float.h>
#include <math.h>

/* Terms grow with the square root of the larger parameter: 2^32 needs fewer than 10^6. */
enum { MAX_TERMS = 1000000 };

static double away_from_zero(double v)
{
    return fabs(v) < DBL_MIN ? DBL_MIN : v;
}

/* The continued fraction of I(x; a, b) without its factor; converges fast for x < (a+1)/(a+b+2). */
static double beta_fraction(double a, double b, double x)
{
    double c = 1.0, d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0)), f = d;

    for (int k = 1; k <= MAX_TERMS; k++) {
        double m = k, before = f;
        double even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        f *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        f *= d * c;
        if (fabs(f - before) <= 4.0 * DBL_EPSILON * fabs(f))
            break;
    }
    return f;
}

/* Regularised incomplete beta function, a, b > 0, 0 < x < 1; y is 1 - x without rounding. */
static double incomplete_beta(double a, double b, double x, double y)
{
    int sign;
    double scale = exp(lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign) +
                       a * log(x) + b * log(y));

    if (x < (a + 1.0) / (a + b + 2.0))
        return scale * beta_fraction(a, b, x) / a;
    return 1.0 - scale * beta_fraction(b, a, y) / b;
}

double jm_binomial_at_most(uint64_t n, uint64_t t, double p)
{
    if (t >= n)
        return 1.0;
    return incomplete_beta((double)(n - t), (double)t + 1.0, p, 1.0 - p);
}

bool jm_percentile_holds(uint64_t n, uint64_t t, double p)
{
    return jm_binomial_at_most(n, t, p) <= 1.0 - JM_CONFIDENCE;
}

/* The probability falls as n grows: the answer lies between no and yes. */
uint64_t jm_percentile_min_n(uint64_t t, double p)
{
    uint64_t no = t, yes = t + 1;

    while (!jm_percentile_holds(yes, t, p)) {
        no = yes;
        yes *= 2;
    }
    while (yes - no > 1) {
        uint64_t mid = no + (yes - no) / 2;
        if (jm_percentile_holds(mid, t, p))
            yes = mid;
        else
            no = mid;
    }
    return yes;
}

bool jm_percentile_max_over(uint64_t n, double p, uint64_t *t)
{
    uint64_t yes = 0, no = n; /* t == n never holds */

    if (!jm_percentile_holds(n, 0, p))
        return false;
    while (no - yes > 1) {
        uint64_t mid = yes + (no - yes) / 2;
        if (jm_percentile_holds(n, mid, p))
            yes = mid;
        else
            no = mid;
    }
    *t = yes;
    return true;
}

bool jm_percentile_bound(uint64_t n, double p, uint64_t *index)
{
    uint64_t t;

    if (!jm_percentile_max_over(n, p, &t) || t == 0)
        return false;
    *index = n - t;
    return true;
}
