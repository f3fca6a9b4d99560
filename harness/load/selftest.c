/* SPDX-License-Identifier: Apache-2.0 */
/* See selftest.h. */
#include "harness/load/selftest.h"

#include <stdlib.h>

#include "harness/load/clock_floor.h"
#include "harness/load/load.h"
#include "harness/load/null_sut.h"
#include "harness/stats/latency.h"
#include "harness/system/core_wait.h"

enum { SAMPLES = 1000, OFFLINE_SAMPLES = 2000000, WINDOWS = 5, SERVER_MAX = 200000 };

static const double rates[JM_SELFTEST_RATES] = { 1000.0, 50000.0 };
static const double server_s = 2.0, floor_s = 1.0;

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
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
    if (st != JM_OK)
        return st;
    qsort(v, WINDOWS, sizeof v[0], compare_double);
    *per_s = v[WINDOWS / 2];
    return JM_OK;
}

static jm_status test_server(double qps, struct jm_selftest_rate *out, jm_err *err)
{
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, SAMPLES);
    /* A bound that is never broken: late arrivals are counted, they do not end the window. */
    struct jm_load_config cfg = { .scenario = JM_SERVER,
                                  .seed = 1,
                                  .target_qps = qps,
                                  .tpot_s = 1.0,
                                  .min_duration_s = server_s,
                                  .max_ids = SERVER_MAX };
    struct jm_load_result r;
    struct jm_latency l;
    jm_status st = jm_load_run(&sut, &cfg, &r, err);

    if (st == JM_OK)
        st = jm_latency_compute(r.timings, r.issued, r.t_start_ns, &l, err);
    if (st == JM_OK)
        *out = (struct jm_selftest_rate){ .qps = qps,
                                          .delay_p50_s = l.delay_p50_s,
                                          .delay_p99_s = l.delay_p99_s,
                                          .delay_max_s = l.delay_max_s };
    jm_load_result_free(&r);
    jm_null_sut_close(&state);
    return st;
}

jm_status jm_selftest_run(struct jm_selftest *out, jm_err *err)
{
    *out = (struct jm_selftest){ .bytes_per_sample = jm_load_bytes_per_sample() };
    jm_status st = jm_null_cost_ns(&out->single_ns, err);

    if (st == JM_OK)
        st = test_offline(&out->offline_per_s, err);
    if (st == JM_OK)
        out->floor_p99_s = jm_clock_floor_s(floor_s);
    struct jm_core_wait before = jm_core_wait_read();
    for (int i = 0; i < JM_SELFTEST_RATES && st == JM_OK; i++)
        st = test_server(rates[i], &out->rate[i], err);
    out->core_wait_share = jm_core_wait_share(before, jm_core_wait_read());
    return st;
}
