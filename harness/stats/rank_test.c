/* SPDX-License-Identifier: Apache-2.0 */
/* See rank_test.h. Exact distributions are counted by adding, never subtracting, so that doubles
 * keep their relative precision far beyond 2^53 permutations. */
#include "harness/stats/rank_test.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"
#include "harness/stats/normal.h"

enum { MAX_EXACT = 50, MAX_EXACT_PAIRS = 100, MAX_FAMILY = 4096 };

struct item {
    double value; /* to rank by */
    double rank;  /* from 1, midrank of ties */
    bool mark;    /* of side b; or of a positive difference */
};

static int by_value(const void *x, const void *y)
{
    double a = ((const struct item *)x)->value, b = ((const struct item *)y)->value;
    return (a > b) - (a < b);
}

/* Sorts and ranks; the sum of t^3 - t over groups of t ties. */
static double rank_items(struct item *v, size_t n)
{
    double ties = 0.0;
    qsort(v, n, sizeof *v, by_value);
    for (size_t i = 0, k; i < n; i = k) {
        k = i + 1;
        while (k < n && v[k].value <= v[i].value)
            k++;
        double t = (double)(k - i);
        ties += t * t * t - t;
        for (size_t j = i; j < k; j++)
            v[j].rank = ((double)i + 1.0 + (double)k) / 2.0;
    }
    return ties;
}

static double marked_sum(const struct item *v, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += v[i].mark ? v[i].rank : 0.0;
    return sum;
}

/* Two-sided p of s in a distribution of counts [n], symmetric or not. */
static double two_sided(const double *count, size_t n, size_t s)
{
    double below = 0.0, above = 0.0, all = 0.0;
    for (size_t i = 0; i < n; i++) {
        all += count[i];
        below += i <= s ? count[i] : 0.0;
        above += i >= s ? count[i] : 0.0;
    }
    return fmin(1.0, 2.0 * fmin(below, above) / all);
}

/* Normal approximation, half a step towards the mean for continuity. */
static double approximate(double s, double mean, double variance)
{
    double d = fmax(0.0, fabs(s - mean) - 0.5);
    return variance > 0.0 ? fmin(1.0, 2.0 * jm_normal_cdf(-d / sqrt(variance))) : 1.0;
}

/* Orders of m and n values by U: the largest of all is either of the first m and above n others,
 * f(m-1, n, u-n), or of the others, f(m, n-1, u). */
static jm_status exact_mann_whitney(size_t m, size_t n, size_t u, double *p, jm_err *err)
{
    size_t width = m * n + 1;
    double *f = calloc((m + 1) * width, sizeof *f);
    if (!f)
        return jm_fail(err, JM_ENOMEM, "no memory for the distribution of U");
    for (size_t i = 0; i <= m; i++)
        f[i * width] = 1.0; /* no others: one order, U = 0 */
    for (size_t k = 1; k <= n; k++)
        for (size_t i = 1; i <= m; i++)
            for (size_t s = width; s-- > k;)
                f[i * width + s] += f[(i - 1) * width + s - k];
    *p = two_sided(f + m * width, width, u);
    free(f);
    return JM_OK;
}

static bool all_finite(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

jm_status jm_mann_whitney(const double *a, size_t na, const double *b, size_t nb,
                          struct jm_rank_test *out, jm_err *err)
{
    size_t n, bytes;
    if (na == 0 || nb == 0 || !all_finite(a, na) || !all_finite(b, nb))
        return jm_fail(err, JM_ERANGE, "Mann-Whitney: needs finite values on both sides");
    struct item *v =
        jm_add_size(na, nb, &n) && jm_mul_size(n, sizeof *v, &bytes) ? malloc(bytes) : NULL;
    if (!v)
        return jm_fail(err, JM_ENOMEM, "no memory to rank %zu and %zu values", na, nb);
    for (size_t i = 0; i < n; i++)
        v[i] = (struct item){ .value = i < na ? a[i] : b[i - na], .mark = i >= na };
    double ties = rank_items(v, n), x = (double)na, y = (double)nb, all = x + y;
    double u = marked_sum(v, n) - y * (y + 1.0) / 2.0;
    free(v);
    *out = (struct jm_rank_test){ .statistic = u, .effect = 2.0 * u / (x * y) - 1.0 };
    out->exact = ties <= 0.0 && na <= MAX_EXACT && nb <= MAX_EXACT;
    if (out->exact)
        return exact_mann_whitney(nb, na, (size_t)(u + 0.5), &out->p, err);
    double variance = x * y / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    out->p = approximate(u, x * y / 2.0, variance);
    return JM_OK;
}

/* Signs of n ranks by the sum of the positive ones. */
static jm_status exact_wilcoxon(size_t n, size_t sum, double *p, jm_err *err)
{
    size_t width = n * (n + 1) / 2 + 1;
    double *f = calloc(width, sizeof *f);
    if (!f)
        return jm_fail(err, JM_ENOMEM, "no memory for the distribution of rank sums");
    f[0] = 1.0;
    for (size_t i = 1; i <= n; i++)
        for (size_t s = width; s-- > i;)
            f[s] += f[s - i];
    *p = two_sided(f, width, sum);
    free(f);
    return JM_OK;
}

jm_status jm_wilcoxon(const double *a, const double *b, size_t n, struct jm_rank_test *out,
                      jm_err *err)
{
    size_t bytes, k = 0;
    if (n == 0 || !all_finite(a, n) || !all_finite(b, n))
        return jm_fail(err, JM_ERANGE, "Wilcoxon: needs pairs of finite values");
    struct item *v = jm_mul_size(n, sizeof *v, &bytes) ? malloc(bytes) : NULL;
    if (!v)
        return jm_fail(err, JM_ENOMEM, "no memory to rank %zu pairs", n);
    for (size_t i = 0; i < n; i++) {
        double d = b[i] - a[i];
        if (d < 0.0 || d > 0.0)
            v[k++] = (struct item){ .value = fabs(d), .mark = d > 0.0 };
    }
    double ties = rank_items(v, k), m = (double)k, all = m * (m + 1.0) / 2.0;
    double plus = marked_sum(v, k);
    free(v);
    *out = (struct jm_rank_test){ .statistic = plus, .p = 1.0 };
    if (k == 0)
        return JM_OK;
    out->effect = 2.0 * plus / all - 1.0;
    out->exact = ties <= 0.0 && k == n && k <= MAX_EXACT_PAIRS;
    if (out->exact)
        return exact_wilcoxon(k, (size_t)(plus + 0.5), &out->p, err);
    out->p = approximate(plus, all / 2.0, m * (m + 1.0) * (2.0 * m + 1.0) / 24.0 - ties / 48.0);
    return JM_OK;
}

jm_status jm_holm(double *p, size_t n, jm_err *err)
{
    if (n > MAX_FAMILY)
        return jm_fail(err, JM_ERANGE, "Holm: %zu tests are more than %d", n, MAX_FAMILY);
    struct item *v = malloc((n ? n : 1) * sizeof *v);
    size_t *at = malloc((n ? n : 1) * sizeof *at), k = 0;
    jm_status st = JM_OK;
    if (!v || !at)
        st = jm_fail(err, JM_ENOMEM, "no memory to correct %zu tests", n);
    for (size_t i = 0; i < n && st == JM_OK; i++)
        if (!isnan(p[i])) {
            at[k] = i;
            v[k] = (struct item){ .value = p[i], .rank = (double)k };
            k++;
        }
    if (st == JM_OK && k > 0)
        qsort(v, k, sizeof *v, by_value); /* rank still says which of at[] */
    double least = 0.0;
    for (size_t i = 0; i < k && st == JM_OK; i++) {
        least = fmax(least, fmin(1.0, v[i].value * (double)(k - i)));
        p[at[(size_t)v[i].rank]] = least;
    }
    free(v);
    free(at);
    return st;
}
