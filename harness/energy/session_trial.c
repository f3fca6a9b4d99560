/* SPDX-License-Identifier: Apache-2.0 */
/* Reading meters for nothing, to see what that costs. */
#include <math.h>

#include "base/clock.h"
#include "harness/energy/session_parts.h"

static void drop(jm_session *s)
{
    for (size_t i = 0; i < s->n; i++) {
        jm_recorder_free(s->channel[i].recorder);
        s->channel[i].recorder = NULL;
    }
}

jm_status jm_session_trial_begin(jm_session *s, double *interval_s, jm_err *err)
{
    jm_status st = JM_OK;

    *interval_s = 0.0;
    for (size_t i = 0; i < s->n && st == JM_OK; i++) {
        struct jm_channel *c = &s->channel[i];
        if (c->ops->drain)
            continue;
        st = jm_recorder_start(c->ops, c->meter, s->interval_s, &c->recorder, err);
        if (st == JM_OK)
            *interval_s = fmax(*interval_s, jm_recorder_interval_s(c->recorder));
    }
    if (st == JM_OK && *interval_s == 0.0)
        st = jm_fail(err, JM_EUNSUPPORTED, "%s",
                     s->n ? "these meters write their readings down themselves" : s->reason);
    if (st != JM_OK)
        drop(s);
    s->trial_ns = jm_now_ns();
    s->trial_cpu_ns = jm_session_cpu_ns(s);
    return st;
}

double jm_session_trial_end(jm_session *s)
{
    double cpu_ns = (double)(jm_session_cpu_ns(s) - s->trial_cpu_ns);
    double ns = (double)(jm_now_ns() - s->trial_ns);

    drop(s);
    return cpu_ns / ns;
}
