/* SPDX-License-Identifier: Apache-2.0 */
/* See verdict.h. */
#include "harness/load/verdict.h"

#include <math.h>
#include <stdio.h>

#include "harness/load/bounds.h"
#include "harness/stats/early_stopping.h"

#define REFUSE(out, ...)                                                                           \
    do {                                                                                           \
        (out)->valid = false;                                                                      \
        (void)snprintf((out)->reason, sizeof(out)->reason, __VA_ARGS__);                           \
    } while (0)

static void judge_bound(const struct jm_load_config *cfg, const struct jm_load_result *r,
                        enum jm_bound kind, struct jm_verdict *out)
{
    double bound_s = jm_bound_s(cfg, kind);
    uint32_t n = 0, over = 0;

    for (uint32_t i = 0; i < r->issued; i++) {
        if (!jm_bound_applies(kind, &r->timings[i]))
            continue;
        n++;
        over += jm_bound_broken(kind, &r->timings[i], bound_s);
    }
    if (cfg->probe_of_s > 0.0) {
        if ((double)over > (1.0 - JM_BOUND_PERCENTILE) * n + 1e-9)
            REFUSE(out, "%u of %u queries of a probe were over %.6g ms %s", over, n, bound_s * 1e3,
                   jm_bound_name(kind));
        return;
    }
    /* Of answers that are all too short, nothing is claimed. */
    if (n == 0 || jm_percentile_holds(n, over, JM_BOUND_PERCENTILE))
        return;
    uint64_t allowed;
    if (jm_percentile_max_over(n, JM_BOUND_PERCENTILE, &allowed))
        REFUSE(out, "%u of %u queries were over %.6g ms %s, and %llu are allowed", over, n,
               bound_s * 1e3, jm_bound_name(kind), (unsigned long long)allowed);
    else
        REFUSE(out, "%u queries are too few for the 99th percentile %s; it takes %llu", n,
               jm_bound_name(kind),
               (unsigned long long)jm_percentile_min_n(0, JM_BOUND_PERCENTILE));
}

/* Of the first n queries those that were not answered when the last of them came. */
static uint32_t backlog_at(const struct jm_load_result *r, uint32_t n)
{
    uint32_t waiting = 0;

    for (uint32_t i = 0; i < n; i++)
        waiting += r->timings[i].done_ns > r->timings[n - 1].issue_ns;
    return waiting;
}

static void judge_backlog(const struct jm_load_config *cfg, const struct jm_load_result *r,
                          struct jm_verdict *out)
{
    double bound_s = fmax(cfg->latency_s, cfg->ttft_s);
    uint32_t half = r->issued / 2;
    if (half == 0 || bound_s == 0.0)
        return;
    int64_t half_ns = r->timings[half - 1].issue_ns, end_ns = r->timings[r->issued - 1].issue_ns;
    uint32_t before = backlog_at(r, half), after = backlog_at(r, r->issued);
    double grown = (double)after - before, seconds = (double)(end_ns - half_ns) * 1e-9;
    if (!(grown > 2.0 * sqrt(r->issued - half)) || !(seconds > 0.0))
        return;
    double left_s = cfg->probe_of_s - (double)(end_ns - r->t_start_ns) * 1e-9;
    double last = after + grown / seconds * fmax(left_s, 0.0);
    if (last > bound_s * cfg->target_qps)
        REFUSE(out,
               "queries waiting grew from %u to %u in %.3g s: in %.3g s they would wait %.3g s",
               before, after, seconds, cfg->probe_of_s, last / cfg->target_qps);
}

/* A server window is as long as its schedule, whose length is random, and an offline window is as
 * long as a forecast: their counts decide. */
static void judge_length(const struct jm_load_config *cfg, const struct jm_load_result *r,
                         struct jm_verdict *out)
{
    double got_s = (double)(r->t_end_ns - r->t_start_ns) * 1e-9;
    bool timed = cfg->scenario == JM_SINGLE_STREAM || cfg->scenario == JM_MULTI_STREAM;

    if (r->n < cfg->min_queries)
        REFUSE(out, "%u queries of at least %llu: max-queries or memory allow %u", r->n,
               (unsigned long long)cfg->min_queries, cfg->max_ids);
    else if (r->misjudged)
        REFUSE(out,
               "it took %.3g s of %.3g s, answering over twice as fast as in the warm-up; give "
               "a longer warmup-s",
               got_s, cfg->min_duration_s);
    else if (r->capped || (timed && got_s < cfg->min_duration_s))
        REFUSE(out, "it took %.3g s of %.3g s: max-queries or memory allow %u", got_s,
               cfg->min_duration_s, cfg->max_ids);
}

void jm_load_judge(const struct jm_load_config *cfg, const struct jm_load_result *r,
                   struct jm_verdict *out)
{
    *out = (struct jm_verdict){ .valid = true };
    if (r->overloaded) {
        REFUSE(out, "%s", r->overload);
        return;
    }
    if (r->n != r->issued || r->n == 0) {
        REFUSE(out, "%u of %u samples were answered", r->n, r->issued);
        return;
    }
    for (int k = 0; k < JM_BOUNDS && cfg->scenario == JM_SERVER && out->valid; k++)
        if (jm_bound_s(cfg, (enum jm_bound)k) > 0.0)
            judge_bound(cfg, r, (enum jm_bound)k, out);
    if (out->valid && cfg->probe_of_s > 0.0)
        judge_backlog(cfg, r, out);
    if (out->valid)
        judge_length(cfg, r, out);
}

uint32_t jm_load_over(const struct jm_load_config *cfg, const struct jm_load_result *r)
{
    uint32_t over = 0;

    for (uint32_t i = 0; i < r->issued; i++) {
        bool any = false;
        for (int k = 0; k < JM_BOUNDS; k++) {
            double bound_s = jm_bound_s(cfg, (enum jm_bound)k);
            any |= bound_s > 0.0 && jm_bound_applies((enum jm_bound)k, &r->timings[i]) &&
                   jm_bound_broken((enum jm_bound)k, &r->timings[i], bound_s);
        }
        over += any;
    }
    return over;
}
