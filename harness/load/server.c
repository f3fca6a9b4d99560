/* SPDX-License-Identifier: Apache-2.0 */
/* Server: samples arrive at moments drawn before the window opens, whatever the system is doing.
 * Latency counts from there. One thread does it all: while a step runs, arrivals wait, and what
 * they waited is kept as their delay. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "harness/load/bounds.h"
#include "harness/load/state.h"
#include "harness/load/wait.h"
#include "harness/stats/early_stopping.h"

enum {
    BURST = 64,        /* arrivals issued between two steps at most, so that answers progress */
    BOUNDS_LONG = 10,  /* a system 10 % too slow is late by the bound at the end of the window */
    PROBE_LEAST = 100, /* one of them may be over a bound */
};

static const int64_t lead_ns = 2000000; /* from opening the window to the first arrival */

double jm_load_server_s(const struct jm_load_config *cfg)
{
    double bound_s = fmax(cfg->latency_s, cfg->ttft_s);
    double least = cfg->probe ? PROBE_LEAST : (double)jm_percentile_min_n(1, JM_BOUND_PERCENTILE);
    double duration_s = fmax(cfg->min_duration_s, (cfg->probe ? 1 : BOUNDS_LONG) * bound_s);
    return fmax(duration_s, fmax(least, (double)cfg->min_queries) / cfg->target_qps);
}

uint32_t jm_load_server_total(const struct jm_load_state *r, struct jm_load_result *out)
{
    const struct jm_load_config *cfg = r->cfg;
    double n = cfg->probe ? 1.0 : r->sut->n_samples;
    /* The division that became a duration may have lost a last bit. */
    double want = ceil(cfg->target_qps * jm_load_server_s(cfg) * (1.0 - 1e-12));
    /* Arrivals of the least time, and three standard deviations of their number, or half of all
     * windows would end a little before it. */
    double least = cfg->target_qps * cfg->min_duration_s;
    double total = ceil(fmax(want, cfg->probe ? 0.0 : least + 3.0 * sqrt(least)) / n) * n;

    if (total <= (double)r->limit)
        return (uint32_t)total;
    out->capped = true;
    return r->limit;
}

/* Exponential gaps: a Poisson process. Its numbers are not those that shuffle the samples. */
void jm_load_server_schedule(struct jm_load_state *r, uint32_t total)
{
    jm_rng rng = { .state = ~r->cfg->seed };
    double at_ns = 0.0;

    for (uint32_t i = 0; i < total; i++) {
        r->sink.timing[i].issue_ns = (int64_t)at_ns;
        at_ns -= log(1.0 - jm_rng_double(&rng)) * 1e9 / r->cfg->target_qps;
    }
}

/* Queries certain to be over one bound. Each is looked at once, in order of arrival: when its
 * time is up, or for time per token when it is done. */
struct watch {
    uint32_t at;
    uint64_t over;
};

static void watch_advance(struct watch *w, enum jm_bound kind, double bound_s,
                          const struct jm_sink *s, int64_t now_ns)
{
    while (w->at < s->capacity) {
        const struct jm_timing *t = &s->timing[w->at];
        bool due = (double)(now_ns - t->issue_ns) > bound_s * 1e9;
        if (!(kind == JM_BOUND_TPOT ? t->done_ns != 0 : due))
            return;
        w->over += jm_bound_applies(kind, t) && jm_bound_broken(kind, t, bound_s);
        w->at++;
    }
}

/* Whether so many queries are over a bound that the window can no longer be valid. */
static bool hopeless(struct watch w[JM_BOUNDS], const struct jm_load_state *r, uint32_t total,
                     uint64_t allowed, int64_t now_ns, struct jm_load_result *out)
{
    for (int k = 0; k < JM_BOUNDS; k++) {
        enum jm_bound kind = (enum jm_bound)k;
        double bound_s = jm_bound_s(r->cfg, kind);
        if (bound_s == 0.0)
            continue;
        watch_advance(&w[k], kind, bound_s, &r->sink, now_ns);
        if (w[k].over <= allowed)
            continue;
        out->overloaded = true;
        (void)snprintf(out->overload, sizeof out->overload,
                       "overloaded after %.1f s: %llu queries were over %.6g ms %s, and %u "
                       "queries allow %llu",
                       (double)(now_ns - out->t_start_ns) * 1e-9, (unsigned long long)w[k].over,
                       bound_s * 1e3, jm_bound_name(kind), total, (unsigned long long)allowed);
        return true;
    }
    return false;
}

/* Gives the system what has arrived. The clock is read for each, as taking one can take long. */
static jm_status issue_due(struct jm_load_state *r, uint32_t total, int64_t *now_ns, jm_err *err)
{
    jm_status st = JM_OK;

    for (uint32_t n = 0; n < BURST && st == JM_OK && r->sink.capacity < total; n++) {
        uint32_t id = r->sink.capacity;
        struct jm_timing *t = &r->sink.timing[id];
        *now_ns = jm_now_ns();
        if (t->issue_ns > *now_ns)
            break;
        t->delay_ns = (float)(*now_ns - t->issue_ns);
        r->sink.capacity++;
        st = r->sut->issue(r->sut->state, &r->samples[id], 1, err);
    }
    return st;
}

static jm_status serve(struct jm_load_state *r, uint32_t total, struct jm_wait *wait,
                       struct jm_load_result *out, jm_err *err)
{
    const struct jm_load_config *cfg = r->cfg;
    struct watch w[JM_BOUNDS] = { 0 };
    uint64_t allowed = 0;
    jm_status st = JM_OK;

    if (cfg->probe)
        allowed = (uint64_t)((1.0 - JM_BOUND_PERCENTILE) * total + 1e-9);
    else
        (void)jm_percentile_max_over(total, JM_BOUND_PERCENTILE, &allowed);
    while (st == JM_OK && r->sink.done < total) {
        int64_t now_ns = jm_now_ns();
        if (jm_load_stopped(r))
            return jm_load_interrupted(err);
        st = issue_due(r, total, &now_ns, err);
        if (st != JM_OK || hopeless(w, r, total, allowed, now_ns, out))
            break;
        if (r->sink.done < r->sink.capacity)
            st = jm_load_step(r, err);
        else
            jm_wait_until(wait, r->sink.timing[r->sink.capacity].issue_ns);
        if (cfg->progress)
            jm_load_report(r, (double)r->sink.done / (double)total, now_ns);
    }
    return st;
}

jm_status jm_load_server(struct jm_load_state *r, uint32_t total, struct jm_load_result *out,
                         jm_err *err)
{
    struct jm_wait wait;
    jm_wait_begin(&wait);
    int64_t start_ns = jm_now_ns() + lead_ns;

    out->t_start_ns = start_ns;
    for (uint32_t i = 0; i < total; i++)
        r->sink.timing[i].issue_ns += start_ns;
    jm_status st = serve(r, total, &wait, out, err);
    jm_wait_end(&wait);
    return st;
}
