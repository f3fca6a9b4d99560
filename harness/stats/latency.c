/* SPDX-License-Identifier: Apache-2.0 */
/* See latency.h. Definitions as in MLPerf Inference, except that tokens per second count the last
 * answer's time too, and one-token answers are left out of the time per output token. */
#include "harness/stats/latency.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/checked.h"
#include "harness/stats/early_stopping.h"

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sorted [n]; permille in integers, since 0.99 * 100 in floating point may fall below 99. */
static double percentile(const double *sorted, uint32_t n, uint32_t permille)
{
    return n ? sorted[(uint64_t)n * permille / 1000] : (double)NAN;
}

static double bound(const double *sorted, uint32_t n, double p)
{
    uint64_t index;
    return jm_percentile_bound(n, p, &index) ? sorted[index] : (double)NAN;
}

/* v [k], k > 0; sorts it. */
static void fill_sorted(double *v, uint32_t k, struct jm_latency *out)
{
    double sum = 0.0;

    qsort(v, k, sizeof v[0], compare_double);
    for (uint32_t i = 0; i < k; i++)
        sum += v[i];
    out->mean_s = sum / (double)k;
    out->min_s = v[0];
    out->max_s = v[k - 1];
    out->p50_s = percentile(v, k, 500);
    out->p90_s = percentile(v, k, 900);
    out->p99_s = percentile(v, k, 990);
    out->p999_s = percentile(v, k, 999);
    out->p50_bound_s = bound(v, k, 0.5);
    out->p90_bound_s = bound(v, k, 0.9);
    out->p99_bound_s = bound(v, k, 0.99);
    out->p999_bound_s = bound(v, k, 0.999);
}

static void fill_latency(const struct jm_timing *t, uint32_t n, double *v, struct jm_latency *out)
{
    uint32_t k = 0;

    for (uint32_t i = 0; i < n; i++)
        if (t[i].done_ns != 0)
            v[k++] = (double)(t[i].done_ns - t[i].issue_ns) * 1e-9;
    out->n = k;
    if (k > 0)
        fill_sorted(v, k, out);
}

static void fill_delay(const struct jm_timing *t, uint32_t n, double *v, struct jm_latency *out)
{
    for (uint32_t i = 0; i < n; i++)
        v[i] = (double)t[i].delay_ns * 1e-9;
    qsort(v, n, sizeof v[0], compare_double);
    out->delay_p50_s = percentile(v, n, 500);
    out->delay_p99_s = percentile(v, n, 990);
    out->delay_max_s = v[n - 1];
}

static void fill_tokens(const struct jm_timing *t, uint32_t n, double *v, struct jm_latency *out)
{
    uint32_t k = 0;

    for (uint32_t i = 0; i < n; i++)
        if (t[i].done_ns != 0 && t[i].first_ns != 0)
            v[k++] = (double)(t[i].first_ns - t[i].issue_ns) * 1e-9;
    qsort(v, k, sizeof v[0], compare_double);
    out->ttft_p50_s = percentile(v, k, 500);
    out->ttft_p99_s = percentile(v, k, 990);
    k = 0;
    for (uint32_t i = 0; i < n; i++)
        if (t[i].done_ns != 0 && t[i].first_ns != 0 && t[i].tokens_out >= 2)
            v[k++] = (double)(t[i].done_ns - t[i].first_ns) * 1e-9 / (double)(t[i].tokens_out - 1);
    qsort(v, k, sizeof v[0], compare_double);
    out->tpot_p50_s = percentile(v, k, 500);
    out->tpot_p99_s = percentile(v, k, 990);
}

static void fill_rates(const struct jm_timing *t, uint32_t n, int64_t start_ns,
                       struct jm_latency *out)
{
    int64_t last_ns = start_ns;
    uint64_t in = 0, given = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (t[i].done_ns == 0)
            continue;
        if (t[i].done_ns > last_ns)
            last_ns = t[i].done_ns;
        in += t[i].tokens_in;
        given += t[i].tokens_out;
    }
    if (last_ns == start_ns)
        return;
    out->duration_s = (double)(last_ns - start_ns) * 1e-9;
    out->queries_per_s = out->n / out->duration_s;
    out->tokens_in_per_s = (double)in / out->duration_s;
    out->tokens_out_per_s = (double)given / out->duration_s;
}

static struct jm_latency nothing_known(void)
{
    const double nan_s = (double)NAN;
    return (struct jm_latency){
        .duration_s = nan_s,
        .mean_s = nan_s,
        .min_s = nan_s,
        .max_s = nan_s,
        .p50_s = nan_s,
        .p90_s = nan_s,
        .p99_s = nan_s,
        .p999_s = nan_s,
        .p50_bound_s = nan_s,
        .p90_bound_s = nan_s,
        .p99_bound_s = nan_s,
        .p999_bound_s = nan_s,
        .ttft_p50_s = nan_s,
        .ttft_p99_s = nan_s,
        .tpot_p50_s = nan_s,
        .tpot_p99_s = nan_s,
        .delay_p50_s = nan_s,
        .delay_p99_s = nan_s,
        .delay_max_s = nan_s,
        .queries_per_s = nan_s,
        .tokens_in_per_s = nan_s,
        .tokens_out_per_s = nan_s,
    };
}

static bool in_order(const struct jm_timing *t)
{
    bool first = t->first_ns == 0 || (t->issue_ns <= t->first_ns && t->first_ns <= t->done_ns);
    return t->done_ns == 0 || (t->issue_ns <= t->done_ns && first);
}

jm_status jm_latency_compute(const struct jm_timing *t, uint32_t n, int64_t start_ns,
                             struct jm_latency *out, jm_err *err)
{
    size_t bytes;

    *out = nothing_known();
    if (n == 0)
        return JM_OK;
    for (uint32_t i = 0; i < n; i++)
        if (!in_order(&t[i]))
            return jm_fail(err, JM_EDEVICE, "sample %u: its times are out of order", i);
    double *v = jm_mul_size(n, sizeof *v, &bytes) ? malloc(bytes) : NULL;
    if (!v)
        return jm_fail(err, JM_ENOMEM, "no memory to sort the latencies of %u answers", n);
    fill_latency(t, n, v, out);
    fill_tokens(t, n, v, out);
    fill_delay(t, n, v, out);
    fill_rates(t, n, start_ns, out);
    free(v);
    return JM_OK;
}

jm_status jm_latency_queries(const struct jm_timing *t, uint32_t n, uint32_t n_samples,
                             uint32_t per_query, struct jm_latency *out, jm_err *err)
{
    uint32_t k = 0, m;
    size_t bytes;
    double *v = jm_mul_size(n ? n : 1, sizeof *v, &bytes) ? malloc(bytes) : NULL;

    if (!v)
        return jm_fail(err, JM_ENOMEM, "no memory to sort the latencies of %u answers", n);
    for (uint32_t i = 0; i < n; i += m) {
        uint32_t left = n_samples - i % n_samples;
        int64_t last_ns = 0;
        bool whole = per_query <= left && per_query <= n - i;
        m = per_query < left ? per_query : left;
        for (uint32_t s = i; whole && s < i + m; s++) {
            whole = t[s].done_ns != 0;
            last_ns = t[s].done_ns > last_ns ? t[s].done_ns : last_ns;
        }
        if (whole)
            v[k++] = (double)(last_ns - t[i].issue_ns) * 1e-9;
        if (m > n - i)
            break;
    }
    if (k > 0)
        fill_sorted(v, k, out);
    free(v);
    return JM_OK;
}
