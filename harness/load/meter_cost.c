/* SPDX-License-Identifier: Apache-2.0 */
/* See meter_cost.h. */
#include "harness/load/meter_cost.h"

#include <math.h>
#include <stdio.h>

#include "harness/energy/session.h"
#include "harness/load/load.h"
#include "harness/load/null_sut.h"

enum { PAIRS = 10, SAMPLES = 1000, MAX_IDS = 2000000 };

static const double window_s = 0.2; /* less where a query is so quick that ids run out */

static jm_status on_window(bool open, void *user, jm_err *err)
{
    jm_session *s = user;
    return s ? jm_session_phase(s, open ? JM_PHASE_MEASURED : JM_PHASE_COOLDOWN, err) : JM_OK;
}

/* Nanoseconds of a query. meters: NULL: none are read; share is then untouched. */
static jm_status one_window(const char *meters, double *cost_ns, double *share, jm_err *err)
{
    struct jm_session_config how = { .meters = meters };
    jm_session *session = NULL;
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, SAMPLES);
    struct jm_load_result r = { 0 };
    jm_status st = meters ? jm_session_open(&how, &session, err) : JM_OK;
    struct jm_load_config cfg = { .scenario = JM_SINGLE_STREAM,
                                  .seed = 1,
                                  .warmup_s = 0.005,
                                  .min_duration_s = window_s,
                                  .max_ids = MAX_IDS,
                                  .window = on_window,
                                  .user = session };

    if (st == JM_OK)
        st = jm_load_run(&sut, &cfg, &r, err);
    if (st == JM_OK)
        *cost_ns = (double)(r.t_end_ns - r.t_start_ns) / (double)r.n;
    jm_session_end(session);
    if (st == JM_OK && session)
        *share = jm_session_reading_share(session);
    jm_load_result_free(&r);
    jm_null_sut_close(&state);
    jm_session_close(session);
    return st;
}

/* Whether there is anything to read; out says why not. */
static jm_status look(const char *meters, struct jm_meter_cost *out, jm_err *err)
{
    struct jm_session_config how = { .meters = meters };
    jm_session *s;
    struct jm_energy e;
    jm_status st = jm_session_open(&how, &s, err);

    if (st != JM_OK)
        return st;
    jm_session_energy(s, &e);
    out->available = jm_session_meters(s) > 0;
    if (!out->available)
        (void)snprintf(out->reason, sizeof out->reason, "%.199s", e.reason);
    jm_session_close(s);
    return JM_OK;
}

jm_status jm_meter_cost_measure(const char *meters, struct jm_meter_cost *out, jm_err *err)
{
    const struct jm_bootstrap how = { .paired = true, .level = 0.95, .resamples = 5000, .seed = 1 };
    double off[PAIRS], on[PAIRS], share[PAIRS];

    *out = (struct jm_meter_cost){ .share = (double)NAN };
    jm_status st = look(meters, out, err);
    if (st != JM_OK || !out->available)
        return st;
    for (int i = 0; i < PAIRS && st == JM_OK; i++) {
        bool on_first = i % 2 != 0;
        st = one_window(on_first ? meters : NULL, on_first ? &on[i] : &off[i], &share[i], err);
        if (st == JM_OK)
            st = one_window(on_first ? NULL : meters, on_first ? &off[i] : &on[i], &share[i], err);
    }
    if (st == JM_OK)
        st = jm_ratio_interval(off, PAIRS, on, PAIRS, &how, &out->ratio, err);
    if (st == JM_OK)
        out->share = jm_median(share, PAIRS);
    return st;
}
