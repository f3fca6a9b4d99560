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
    if (cfg->probe) {
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

/* Mean backlog at some arrivals from first to before last. */
static double backlog(const struct jm_load_result *r, uint32_t first, uint32_t last)
{
    enum { POINTS = 16 };
    uint64_t waiting = 0;

    for (uint64_t k = 0; k < POINTS; k++) {
        uint32_t at = first + (uint32_t)((last - first) * k / POINTS);
        int64_t now_ns = r->timings[at].issue_ns;
        for (uint32_t i = 0; i <= at; i++)
            waiting += r->timings[i].done_ns == 0 || r->timings[i].done_ns > now_ns;
    }
    return (double)waiting / POINTS;
}

struct jm_backlog jm_load_backlog(const struct jm_load_result *r)
{
    uint32_t n = r->issued, eighth = n / 8;

    if (eighth == 0)
        return (struct jm_backlog){ 0 };
    int64_t ns = r->timings[7 * eighth].issue_ns - r->timings[3 * eighth].issue_ns;
    return (struct jm_backlog){ .before = backlog(r, 2 * eighth, 4 * eighth),
                                .after = backlog(r, 6 * eighth, 8 * eighth),
                                .arrivals = 4 * eighth,
                                .seconds = (double)ns * 1e-9 };
}

static void judge_backlog(const struct jm_load_result *r, struct jm_verdict *out)
{
    struct jm_backlog b = jm_load_backlog(r);
    if (b.after - b.before > 2.0 * sqrt(b.arrivals))
        REFUSE(out,
               "queries waiting grew from %.0f to %.0f in %.3g s: more came than were answered",
               b.before, b.after, b.seconds);
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
    if (out->valid && cfg->steady)
        judge_backlog(r, out);
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
