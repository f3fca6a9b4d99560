/* SPDX-License-Identifier: Apache-2.0 */
/* See bootstrap.h. */
#include "harness/stats/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/rng.h"
#include "harness/stats/normal.h"

struct sides {
    const double *a, *b; /* paired: a is all ones and b the ratios */
    size_t na, nb;
    double *x, *y; /* [na], [nb] work space */
};

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sort(double *v, size_t n)
{
    if (n > 32) {
        qsort(v, n, sizeof *v, compare_double);
        return;
    }
    for (size_t i = 1; i < n; i++) { /* runs are few: insertion beats the calls of qsort */
        double x = v[i];
        size_t k = i;
        for (; k > 0 && v[k - 1] > x; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

double jm_median(double *v, size_t n)
{
    if (n == 0)
        return NAN;
    sort(v, n);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2.0;
}

static double copy_median(const double *v, size_t n, double *work)
{
    memcpy(work, v, n * sizeof *v);
    return jm_median(work, n);
}

static double resample(const struct sides *s, jm_rng *rng)
{
    for (size_t i = 0; i < s->na; i++)
        s->x[i] = s->a[jm_rng_below(rng, s->na)];
    for (size_t i = 0; i < s->nb; i++)
        s->y[i] = s->b[jm_rng_below(rng, s->nb)];
    return jm_median(s->y, s->nb) / jm_median(s->x, s->na);
}

/* Adds one side's part of the acceleration: cubes and squares of influences, from leaving out each
 * value in turn. left: work space of the side; other: the other side's median. */
static void jackknife(const double *v, size_t n, double *work, double other, bool is_b, double *t,
                      double *cubes, double *squares)
{
    double mean = 0.0, size = (double)n;
    for (size_t i = 0; i < n; i++) {
        memcpy(work, v, i * sizeof *v);
        memcpy(work + i, v + i + 1, (n - i - 1) * sizeof *v);
        double m = jm_median(work, n - 1);
        t[i] = is_b ? m / other : other / m;
        mean += t[i] / size;
    }
    for (size_t i = 0; i < n; i++) {
        double u = (size - 1.0) * (mean - t[i]);
        *cubes += u * u * u / (size * size * size);
        *squares += u * u / (size * size);
    }
}

static jm_status acceleration(const struct sides *s, bool paired, double *out, jm_err *err)
{
    double ma = copy_median(s->a, s->na, s->x), mb = copy_median(s->b, s->nb, s->y);
    double cubes = 0.0, squares = 0.0;
    double *t = calloc(s->na > s->nb ? s->na : s->nb, sizeof *t);
    if (!t)
        return jm_fail(err, JM_ENOMEM, "no memory for the jackknife");
    if (!paired)
        jackknife(s->a, s->na, s->x, mb, false, t, &cubes, &squares);
    jackknife(s->b, s->nb, s->y, ma, true, t, &cubes, &squares);
    free(t);
    *out = squares > 0.0 ? cubes / (6.0 * pow(squares, 1.5)) : 0.0;
    return JM_OK;
}

/* Quantile q of sorted v [n], interpolated. */
static double quantile(const double *v, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? v[i] + (at - (double)i) * (v[i + 1] - v[i]) : v[n - 1];
}

/* r [n]: the replicates, sorted here. */
static void bca(double *r, size_t n, double a, double level, struct jm_ratio *out)
{
    double below = 0.0, size = (double)n, z[2];
    qsort(r, n, sizeof *r, compare_double);
    for (size_t i = 0; i < n; i++) /* medians repeat: ties count half */
        below += r[i] < out->value ? 1.0 : r[i] <= out->value ? 0.5 : 0.0;
    below = fmin(fmax(below / size, 0.5 / size), 1.0 - 0.5 / size);
    double z0 = jm_normal_quantile(below), edge = jm_normal_quantile((1.0 - level) / 2.0);
    for (int k = 0; k < 2; k++) {
        double w = z0 + (k ? -edge : edge);
        z[k] = jm_normal_cdf(z0 + w / (1.0 - a * w));
    }
    out->low = quantile(r, n, fmin(z[0], z[1]));
    out->high = quantile(r, n, fmax(z[0], z[1]));
}

static bool all_positive(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(isfinite(v[i]) && v[i] > 0.0))
            return false;
    return n > 0;
}

static jm_status interval(const struct sides *s, const struct jm_bootstrap *how,
                          struct jm_ratio *out, jm_err *err)
{
    jm_rng rng = { .state = how->seed };
    double a = 0.0;
    jm_status st = acceleration(s, how->paired, &a, err);
    if (st != JM_OK)
        return st;
    double *r = calloc(how->resamples, sizeof *r);
    if (!r)
        return jm_fail(err, JM_ENOMEM, "no memory for %u resamples", how->resamples);
    for (uint32_t i = 0; i < how->resamples; i++)
        r[i] = resample(s, &rng);
    bca(r, how->resamples, a, how->level, out);
    free(r);
    return JM_OK;
}

jm_status jm_ratio_interval(const double *a, size_t na, const double *b, size_t nb,
                            const struct jm_bootstrap *how, struct jm_ratio *out, jm_err *err)
{
    static const double one = 1.0;
    size_t n, bytes;
    *out = (struct jm_ratio){ .value = NAN, .low = NAN, .high = NAN };
    if (!all_positive(a, na) || !all_positive(b, nb))
        return jm_fail(err, JM_ERANGE, "a ratio needs finite values above 0 on both sides");
    if ((how->paired && na != nb) || !(how->level > 0.0 && how->level < 1.0) ||
        how->resamples < 200 || how->resamples > 100000)
        return jm_fail(err, JM_EUSAGE, "bootstrap: pairs, level or resamples out of bounds");
    /* Three stretches: work space for each side, and the ratios of pairs. */
    double *work =
        jm_add_size(na, nb, &n) && jm_add_size(n, nb, &n) && jm_mul_size(n, sizeof *work, &bytes)
            ? malloc(bytes)
            : NULL;
    if (!work)
        return jm_fail(err, JM_ENOMEM, "no memory to resample %zu and %zu values", na, nb);
    double *ratio = work + na + nb;
    struct sides s = { .a = a, .b = b, .na = na, .nb = nb, .x = work, .y = work + na };
    if (how->paired) { /* one sample, of ratios, over a constant */
        for (size_t i = 0; i < nb; i++)
            ratio[i] = b[i] / a[i];
        s.a = &one;
        s.na = 1;
        s.b = ratio;
    }
    out->value = copy_median(s.b, s.nb, s.y) / copy_median(s.a, s.na, s.x);
    jm_status st = JM_OK;
    if (na >= JM_BOOTSTRAP_MIN && nb >= JM_BOOTSTRAP_MIN)
        st = interval(&s, how, out, err);
    free(work);
    return st;
}
