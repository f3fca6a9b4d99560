/* SPDX-License-Identifier: Apache-2.0 */
/* See compare.h. Spread is taken of logarithms: noise of speed and energy is proportional. */
#include "harness/stats/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/stats/normal.h"
#include "harness/stats/rank_test.h"

enum { LEAST_RUNS = 9 };

/* Sum of squares of ln(v / w) around its mean; w may be NULL. */
static double log_squares(const double *v, const double *w, size_t n)
{
    double mean = 0.0, sum = 0.0;
    for (size_t i = 0; i < n; i++)
        mean += log(w ? v[i] / w[i] : v[i]) / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = log(w ? v[i] / w[i] : v[i]) - mean;
        sum += d * d;
    }
    return sum;
}

static double spread_of(const double *a, size_t na, const double *b, size_t nb, bool paired)
{
    if (paired)
        return na < 2 ? NAN : sqrt(log_squares(b, a, na) / (double)(na - 1));
    if (na + nb < 3)
        return NAN;
    return sqrt((log_squares(a, NULL, na) + log_squares(b, NULL, nb)) / (double)(na + nb - 2));
}

static jm_status medians(const double *a, size_t na, const double *b, size_t nb,
                         struct jm_comparison *out, jm_err *err)
{
    double *work = malloc((na > nb ? na : nb) * sizeof *work);
    if (!work)
        return jm_fail(err, JM_ENOMEM, "no memory for the medians");
    memcpy(work, a, na * sizeof *a);
    out->median_a = jm_median(work, na);
    memcpy(work, b, nb * sizeof *b);
    out->median_b = jm_median(work, nb);
    free(work);
    return JM_OK;
}

jm_status jm_compare(const double *a, size_t na, const double *b, size_t nb,
                     const struct jm_bootstrap *how, struct jm_comparison *out, jm_err *err)
{
    struct jm_rank_test t = { .p = NAN, .effect = NAN };
    *out = (struct jm_comparison){ .na = na, .nb = nb, .paired = how->paired };
    jm_status st = jm_ratio_interval(a, na, b, nb, how, &out->ratio, err);
    if (st == JM_OK)
        st = medians(a, na, b, nb, out, err);
    if (st == JM_OK && na > 1 && nb > 1)
        st = how->paired ? jm_wilcoxon(a, b, na, &t, err) : jm_mann_whitney(a, na, b, nb, &t, err);
    if (st != JM_OK)
        return st;
    out->p = t.p;
    out->effect = t.effect;
    out->spread = spread_of(a, na, b, nb, how->paired);
    return JM_OK;
}

double jm_needed_runs(double spread, double step, double power, bool paired)
{
    double z = jm_normal_quantile(0.975) + jm_normal_quantile(power), d = log1p(step);
    double n = (paired ? 1.0 : 2.0) * z * z * spread * spread / (d * d) * M_PI / 3.0;
    return isnan(n) ? NAN : fmax(LEAST_RUNS, ceil(n));
}
