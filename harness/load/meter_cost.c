/* SPDX-License-Identifier: Apache-2.0 */
/* See meter_cost.h. */
#include "harness/load/meter_cost.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "harness/load/load.h"
#include "harness/load/null_sut.h"

enum { PAIRS = 8, SAMPLES = 1000, MAX_IDS = 400000 };

static const double window_s = 0.1, readings = 1.2; /* in a window, where that takes longer */
static const double rarest_s = 2.0;                 /* between readings that can be waited for */

/* Mean nanoseconds of a query in so many seconds: several runs, so that ids do not run out. */
static jm_status window(double seconds, const volatile sig_atomic_t *stop, double *cost_ns,
                        jm_err *err)
{
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, SAMPLES);
    const struct jm_load_config cfg = { .scenario = JM_SINGLE_STREAM,
                                        .seed = 1,
                                        .warmup_s = 0.002,
                                        .min_duration_s = fmin(seconds, window_s),
                                        .max_ids = MAX_IDS,
                                        .stop = stop };
    const int64_t end_ns = jm_now_ns() + (int64_t)(seconds * 1e9);
    double ns = 0.0, n = 0.0;
    jm_status st = JM_OK;

    while (st == JM_OK && jm_now_ns() < end_ns) {
        struct jm_load_result r;
        st = jm_load_run(&sut, &cfg, &r, err);
        ns += (double)(r.t_end_ns - r.t_start_ns);
        n += r.n;
        jm_load_result_free(&r);
    }
    jm_null_sut_close(&state);
    *cost_ns = ns / n;
    return st;
}

static jm_status window_metered(jm_session *s, const volatile sig_atomic_t *stop, double *cost_ns,
                                double *share, jm_err *err)
{
    double interval_s;
    jm_status st = jm_session_trial_begin(s, &interval_s, err);

    if (st != JM_OK)
        return st;
    if (interval_s > rarest_s)
        st = jm_fail(err, JM_EUNSUPPORTED,
                     "a reading every %.3g s is too rare to see what it costs", interval_s);
    else
        st = window(fmax(window_s, readings * interval_s), stop, cost_ns, err);
    *share = jm_session_trial_end(s);
    return st;
}

jm_status jm_meter_cost_measure(jm_session *s, const volatile sig_atomic_t *stop,
                                struct jm_meter_cost *out, jm_err *err)
{
    const struct jm_bootstrap how = { .paired = true, .level = 0.99, .resamples = 5000, .seed = 1 };
    double off[PAIRS], on[PAIRS], share[PAIRS];
    jm_err why = { .status = JM_OK };
    jm_status st = JM_OK;

    *out = (struct jm_meter_cost){ .ratio = { (double)NAN, (double)NAN, (double)NAN },
                                   .share = (double)NAN };
    for (int i = 0; i < PAIRS && st == JM_OK; i++) {
        bool on_first = i % 2 == 0; /* what cannot be read is told before any window */
        if (on_first)
            st = window_metered(s, stop, &on[i], &share[i], &why);
        if (st == JM_OK)
            st = window(window_s, stop, &off[i], &why);
        if (st == JM_OK && !on_first)
            st = window_metered(s, stop, &on[i], &share[i], &why);
    }
    if (st == JM_EUNSUPPORTED) {
        (void)snprintf(out->reason, sizeof out->reason, "%.199s", why.text);
        return JM_OK;
    }
    if (st == JM_OK)
        st = jm_ratio_interval(off, PAIRS, on, PAIRS, &how, &out->ratio, &why);
    if (st != JM_OK)
        return jm_fail(err, st, "%s", why.text);
    out->share = jm_median(share, PAIRS);
    out->available = true;
    return JM_OK;
}
