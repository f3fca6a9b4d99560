/* SPDX-License-Identifier: Apache-2.0 */
/* See peak.h. */
#include "harness/load/peak.h"

#include <math.h>

#include "harness/stats/bootstrap.h"
#include "harness/stats/latency.h"

enum {
    STEPS = 40,         /* from the first rate until a valid and an invalid one are known */
    STEPS_USUAL = 2,    /* for progress */
    AGAIN = 1,          /* times that an invalid rate may turn out to be valid after all */
    CONFIRMATIONS = 20, /* down to 2/3 of the rate that probes found, or less */
};

static const double resolution = 1.03;
/* From rate to rate, at first; then its square, up to most. */
static const double first_factor = 1.19, most_factor = 2.0;
/* Confirmed is what is a little below the rate at which too many queries were answered. To begin
 * with, as short probes tell little, it is that of most invalid ones, and at least this share of
 * the rate that was valid. */
static const double below = 0.99, least_share = 0.9;
/* After a confirmation that failed within these; after k in a row the second to the power of k. */
static const double step_least = 0.98, step_most = 0.94;
static const double probe_share = 0.25; /* of the duration asked for */
/* Of the rate at which the warm-up was answered: so far below it queries meet no others, and a yet
 * lower rate makes no answer faster. */
static const double idle_share = 1.0 / 32.0;

struct search {
    const struct jm_sut *sut;
    const struct jm_load_config *cfg; /* as asked for, with the first rate */
    struct jm_peak *peak;
    double passed_s, window_s, left_s; /* before, of and after the window that runs, as planned */
    double shown;                      /* of progress, which does not go back */
};

/* A window of the search is a part of the whole. */
static void on_progress(double fraction, void *user)
{
    struct search *s = user;
    double done_s = s->passed_s + fraction * s->window_s;
    double all_s = s->passed_s + s->window_s + s->left_s;

    if (!s->cfg->progress || !(all_s > 0.0))
        return;
    s->shown = fmax(s->shown, done_s / all_s);
    s->cfg->progress(s->shown, s->cfg->user);
}

static jm_status on_window(bool open, void *user, jm_err *err)
{
    struct search *s = user;
    return s->cfg->window(open, s->cfg->user, err);
}

/* NAN: too few queries came. */
static double served(const struct jm_load_result *r)
{
    struct jm_backlog b = jm_load_backlog(r);
    return b.seconds > 0.0 ? (b.arrivals - (b.after - b.before)) / b.seconds : (double)NAN;
}

/* Keeps what a window showed. */
static jm_status note(struct search *s, const struct jm_load_config *cfg,
                      const struct jm_load_result *r, bool confirmation, bool *valid, jm_err *err)
{
    struct jm_latency l;
    jm_status st = jm_latency_compute(r->timings, r->issued, r->t_start_ns, &l, err);
    if (st != JM_OK)
        return st;
    struct jm_probe *p = &s->peak->probe[s->peak->n++];
    *p = (struct jm_probe){ .qps = cfg->target_qps,
                            .confirmation = confirmation,
                            .queries = r->n,
                            .duration_s = l.duration_s,
                            .p99_s = l.p99_s,
                            .ttft_p99_s = l.ttft_p99_s,
                            .tpot_p99_s = l.tpot_p99_s,
                            .delay_p99_s = l.delay_p99_s,
                            .served_qps = served(r) };
    jm_load_judge(cfg, r, &p->verdict);
    *valid = p->verdict.valid;
    s->passed_s += l.n > 0 ? l.duration_s : 0.0;
    return JM_OK;
}

static jm_status full(const struct search *s, jm_err *err)
{
    if (s->peak->n < JM_MAX_PROBES)
        return JM_OK;
    return jm_fail(err, JM_ERANGE, "no peak was found in %d windows", JM_MAX_PROBES);
}

static struct jm_load_config probe_config(const struct search *s, double qps)
{
    struct jm_load_config cfg = *s->cfg;

    cfg.target_qps = qps;
    cfg.probe = true;
    cfg.min_duration_s *= probe_share;
    cfg.min_queries = 0;
    cfg.seed += s->peak->n + 1;
    cfg.warmup_s = 0.0;
    cfg.progress = on_progress;
    cfg.window = NULL;
    return cfg;
}

/* Tells progress what is ahead: windows of this length, and a confirmation. */
static void plan(struct search *s, const struct jm_load_config *cfg, int probes_after)
{
    struct jm_load_config full = *s->cfg;

    full.target_qps = cfg->target_qps;
    s->window_s = jm_load_server_s(cfg);
    s->left_s = s->window_s * probes_after;
    if (cfg->probe)
        s->left_s += jm_load_server_s(&full);
    on_progress(0.0, s);
}

/* One window. probes_after: as many more are expected. */
static jm_status probe(struct search *s, double qps, int probes_after, bool *valid, jm_err *err)
{
    struct jm_load_config cfg = probe_config(s, qps);
    struct jm_load_result r;
    jm_status st = full(s, err);

    *valid = false;
    if (st != JM_OK)
        return st;
    cfg.user = s;
    plan(s, &cfg, probes_after);
    st = jm_load_run(s->sut, &cfg, &r, err);
    if (st == JM_OK)
        st = note(s, &cfg, &r, false, valid, err);
    jm_load_result_free(&r);
    return st;
}

/* Halvings until high is within the resolution of low. */
static int halvings(double low, double high)
{
    return (int)ceil(log2(fmax(log(high / low) / log(resolution), 1.0)));
}

/* From qps on. On JM_OK *low was valid and *high was not. */
static jm_status bracket(struct search *s, double qps, double floor_qps, double *low, double *high,
                         jm_err *err)
{
    const int after = halvings(1.0, first_factor);
    double first = qps, factor = first_factor;
    bool valid = false;
    jm_status st = probe(s, qps, after + STEPS_USUAL, &valid, err);

    bool up = valid;
    *low = *high = qps;
    for (int i = 0; i < STEPS && st == JM_OK && (up || qps > floor_qps); i++) {
        qps = up ? qps * factor : qps / factor;
        factor = fmin(factor * factor, most_factor);
        st = probe(s, qps, after + 1, &valid, err);
        if (st != JM_OK)
            return st;
        *(valid ? low : high) = qps;
        if (valid != up)
            return JM_OK;
    }
    if (st != JM_OK)
        return st;
    const struct jm_probe *last = &s->peak->probe[s->peak->n - 1];
    return jm_fail(err, JM_ERANGE, "no peak from %.3g to %.3g queries/s: the last was %s",
                   fmin(qps, first), fmax(qps, first), valid ? "valid" : last->verdict.reason);
}

static jm_status narrow(struct search *s, double *low, double *high, jm_err *err)
{
    jm_status st = JM_OK;

    while (st == JM_OK && *high > *low * resolution) {
        double qps = sqrt(*low * *high);
        bool valid = false;
        st = probe(s, qps, halvings(*low, *high) - 1, &valid, err);
        *(valid ? low : high) = qps;
    }
    return st;
}

/* The highest rate of which a probe is valid. A machine that was slow for a moment ends it below
 * that, so the rate above is tried again. */
static jm_status explore(struct search *s, double floor_qps, double *low, jm_err *err)
{
    double high = 0.0;
    bool valid = true;
    jm_status st = bracket(s, s->cfg->target_qps, floor_qps, low, &high, err);

    for (int i = 0; st == JM_OK && valid; i++) {
        st = narrow(s, low, &high, err);
        valid = false;
        if (st == JM_OK && i < AGAIN)
            st = probe(s, high, 0, &valid, err);
        if (st == JM_OK && valid)
            st = bracket(s, high * first_factor, floor_qps, low, &high, err);
    }
    return st;
}

/* The first rate to confirm, where probes of low were valid. */
static double confirm_at(const struct jm_peak *p, double low)
{
    double served[JM_MAX_PROBES];
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        if (!p->probe[i].verdict.valid && p->probe[i].served_qps > 0.0)
            served[n++] = p->probe[i].served_qps;
    return n ? fmin(low, fmax(below * jm_median(served, n), least_share * low)) : low;
}

/* The rate after one that failed, the last of so many in a row. */
static double lower(const struct jm_probe *failed, int in_a_row)
{
    double served = isnan(failed->served_qps) ? 0.0 : failed->served_qps;
    double least = pow(step_most, in_a_row) * failed->qps;
    return fmin(fmax(below * served, least), step_least * failed->qps);
}

static jm_status confirm(struct search *s, double qps, struct jm_load_config *used,
                         struct jm_load_result *result, jm_err *err)
{
    jm_status st = JM_OK;
    bool valid = false;

    for (int i = 0; i < CONFIRMATIONS && st == JM_OK && !valid; i++) {
        st = full(s, err);
        if (st != JM_OK)
            break;
        jm_load_result_free(result);
        *used = *s->cfg;
        used->target_qps = qps;
        used->progress = on_progress;
        used->window = s->cfg->window ? on_window : NULL;
        used->user = s;
        plan(s, used, 0);
        st = jm_load_run(s->sut, used, result, err);
        if (st == JM_OK)
            st = note(s, used, result, true, &valid, err);
        if (st == JM_OK)
            qps = lower(&s->peak->probe[s->peak->n - 1], i + 1);
    }
    used->progress = s->cfg->progress;
    used->window = s->cfg->window;
    used->user = s->cfg->user;
    if (st != JM_OK || valid)
        return st;
    return jm_fail(err, JM_ERANGE, "no full window down to %.3g queries/s was valid: %s",
                   used->target_qps, s->peak->probe[s->peak->n - 1].verdict.reason);
}

jm_status jm_peak_find(const struct jm_sut *sut, const struct jm_load_config *cfg,
                       struct jm_peak *peak, struct jm_load_config *used,
                       struct jm_load_result *result, jm_err *err)
{
    struct jm_load_config start = *cfg;
    struct search s = { .sut = sut, .cfg = &start, .peak = peak };
    double low = 0.0, rate;
    jm_status st;

    peak->n = 0;
    *used = *cfg;
    *result = (struct jm_load_result){ 0 };
    if (cfg->scenario != JM_SERVER)
        return jm_fail(err, JM_EUSAGE, "a peak is searched in the server scenario only");
    start.target_qps =
        cfg->target_qps > 0.0 ? cfg->target_qps : 1.0; /* a warm-up has no arrivals */
    st = jm_load_warmup_rate(sut, &start, &rate, err);
    start.steady = true;
    if (cfg->target_qps == 0.0)
        start.target_qps = rate;
    if (st == JM_OK)
        st = explore(&s, rate * idle_share, &low, err);
    if (st == JM_OK)
        st = confirm(&s, confirm_at(peak, low), used, result, err);
    return st;
}
