/* SPDX-License-Identifier: Apache-2.0 */
/* Offline: all samples at once. */
#include <math.h>

#include "base/clock.h"
#include "harness/load/state.h"

/* A little more load than the warm-up rate asks for, as that rate contains cold caches. */
static const double margin = 1.05;

/* Whole copies for the window, from the warm-up rate. */
uint32_t jm_load_offline_total(const struct jm_load_state *r, struct jm_load_result *out)
{
    double n = r->sut->n_samples;
    double want = fmax((double)r->cfg->min_queries, r->rate * r->cfg->min_duration_s * margin);
    double copies = fmax(1.0, ceil(want / n));

    if (copies * n <= (double)r->limit)
        return (uint32_t)(copies * n);
    out->capped = true;
    return r->limit;
}

jm_status jm_load_offline(struct jm_load_state *r, uint32_t total, struct jm_load_result *out,
                          jm_err *err)
{
    out->t_start_ns = jm_now_ns();
    r->sink.capacity = total;
    jm_status st = r->sut->issue(r->sut->state, r->samples, total, err);
    while (st == JM_OK && r->sink.done < total) {
        st = jm_load_step(r, err);
        if (r->cfg->progress)
            jm_load_report(r, (double)r->sink.done / (double)total, jm_now_ns());
    }
    /* All arrived at the same moment: it is written once nothing is timed. */
    for (uint32_t i = 0; i < total; i++)
        r->sink.timing[i].issue_ns = out->t_start_ns;
    return st;
}
