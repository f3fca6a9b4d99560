/* SPDX-License-Identifier: Apache-2.0 */
/* See selftest.h. */
#include "harness/load/selftest.h"

#include <math.h>
#include <stdlib.h>

#include "harness/load/clock_floor.h"
#include "harness/load/load.h"
#include "harness/load/null_sut.h"
#include "harness/stats/latency.h"
#include "harness/system/core_wait.h"

enum { SAMPLES = 1000, OFFLINE_SAMPLES = 2000000, WINDOWS = 5, SERVER_MAX = 200000 };

static const double rates[JM_SELFTEST_RATES] = { 1000.0, 50000.0 };
static const double server_s[JM_SELFTEST_RATES] = { 1.0, 0.4 }, floor_s = 0.3;

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double v[WINDOWS])
{
    qsort(v, WINDOWS, sizeof v[0], compare_double);
    return v[WINDOWS / 2];
}

static jm_status test_offline(double *per_s, jm_err *err)
{
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, SAMPLES);
    struct jm_load_config cfg = { .scenario = JM_OFFLINE,
                                  .seed = 1,
                                  .min_queries = OFFLINE_SAMPLES,
                                  .max_ids = OFFLINE_SAMPLES };
    double v[WINDOWS];
    jm_status st = JM_OK;

    for (int i = 0; i < WINDOWS && st == JM_OK; i++) {
        struct jm_load_result r;
        st = jm_load_run(&sut, &cfg, &r, err);
        v[i] = st == JM_OK ? (double)r.n / ((double)(r.t_end_ns - r.t_start_ns) * 1e-9) : 0.0;
        jm_load_result_free(&r);
    }
    jm_null_sut_close(&state);
    if (st == JM_OK)
        *per_s = median(v);
    return st;
}

static jm_status server_window(double qps, double seconds, struct jm_latency *l, jm_err *err)
{
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, SAMPLES);
    /* A bound that is never broken: late arrivals are counted, they do not end the window. */
    struct jm_load_config cfg = { .scenario = JM_SERVER,
                                  .seed = 1,
                                  .target_qps = qps,
                                  .tpot_s = 1.0,
                                  .min_duration_s = seconds,
                                  .max_ids = SERVER_MAX };
    struct jm_load_result r;
    jm_status st = jm_load_run(&sut, &cfg, &r, err);

    if (st == JM_OK)
        st = jm_latency_compute(r.timings, r.issued, r.t_start_ns, l, err);
    jm_load_result_free(&r);
    jm_null_sut_close(&state);
    return st;
}

/* In rounds, so that what else the machine does falls on all alike; a window that it stalled in is
 * not the median. */
static jm_status test_servers(struct jm_selftest *out, jm_err *err)
{
    double floor[WINDOWS], p50[JM_SELFTEST_RATES][WINDOWS], p99[JM_SELFTEST_RATES][WINDOWS];
    struct jm_latency l;

    for (int w = 0; w < WINDOWS; w++) {
        floor[w] = jm_clock_floor_s(floor_s);
        for (int i = 0; i < JM_SELFTEST_RATES; i++) {
            jm_status st = server_window(rates[i], server_s[i], &l, err);
            if (st != JM_OK)
                return st;
            p50[i][w] = l.delay_p50_s;
            p99[i][w] = l.delay_p99_s;
            out->rate[i].delay_max_s = fmax(out->rate[i].delay_max_s, l.delay_max_s);
        }
    }
    out->floor_p99_s = median(floor);
    for (int i = 0; i < JM_SELFTEST_RATES; i++) {
        out->rate[i].qps = rates[i];
        out->rate[i].delay_p50_s = median(p50[i]);
        out->rate[i].delay_p99_s = median(p99[i]);
    }
    return JM_OK;
}

jm_status jm_selftest_run(struct jm_selftest *out, jm_err *err)
{
    *out = (struct jm_selftest){ .bytes_per_sample = jm_load_bytes_per_sample() };
    jm_status st = jm_null_cost_ns(&out->single_ns, err);

    if (st == JM_OK)
        st = test_offline(&out->offline_per_s, err);
    struct jm_core_wait before = jm_core_wait_read();
    if (st == JM_OK)
        st = test_servers(out, err);
    out->core_wait_share = jm_core_wait_share(before, jm_core_wait_read());
    return st;
}
