/* SPDX-License-Identifier: Apache-2.0 */
/* See peak.h. */
#include "harness/load/peak.h"

#include <math.h>

#include "harness/stats/latency.h"

enum {
    PROBES = 2,          /* of a rate that is invalid */
    DOUBLINGS = 40,      /* up from the first rate */
    DOUBLINGS_USUAL = 2, /* for progress */
    CONFIRMATIONS = 20,  /* down to little more than half the rate that probes found */
};

static const double resolution = 1.02;
/* After a confirmation that failed: to the rate at which it was answered, within these. */
static const double step_least = 0.97, step_most = 0.9;
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
                            .delay_p99_s = l.delay_p99_s };
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
    cfg.probe_of_s = jm_load_server_s(&cfg);
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
    if (cfg->probe_of_s > 0.0)
        s->left_s += jm_load_server_s(&full);
    on_progress(0.0, s);
}

/* One window. probes_after: as many more are expected. */
static jm_status probe_once(struct search *s, double qps, int probes_after, bool *valid,
                            jm_err *err)
{
    struct jm_load_config cfg = probe_config(s, qps);
    struct jm_load_result r;
    jm_status st = full(s, err);

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

/* A rate is too high where PROBES windows with other arrivals are invalid: in one alone the machine
 * may have been busy with something else, and would end the search below its peak. */
static jm_status probe(struct search *s, double qps, int probes_after, bool *valid, jm_err *err)
{
    jm_status st = JM_OK;

    *valid = false;
    for (int i = 0; i < PROBES && st == JM_OK && !*valid; i++)
        st = probe_once(s, qps, probes_after, valid, err);
    return st;
}

/* Halvings until high is within the resolution of low. */
static int halvings(double low, double high)
{
    return (int)ceil(log2(fmax(log(high / low) / log(resolution), 1.0)));
}

/* On JM_OK *low was valid and *high was not. */
static jm_status bracket(struct search *s, double floor_qps, double *low, double *high, jm_err *err)
{
    double first = s->cfg->target_qps, qps = first;
    bool valid = false;
    const int after = halvings(1.0, 2.0);
    jm_status st = probe(s, qps, after + DOUBLINGS_USUAL, &valid, err);

    bool up = valid;
    *low = *high = qps;
    for (int i = 0; i < DOUBLINGS && st == JM_OK && (up || qps > floor_qps); i++) {
        qps = up ? qps * 2.0 : qps / 2.0;
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

/* The rate after one that failed. */
static double lower(const struct jm_probe *failed)
{
    double answered = failed->duration_s > 0.0 ? failed->queries / failed->duration_s : 0.0;
    return fmin(fmax(answered, step_most * failed->qps), step_least * failed->qps);
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
            qps = lower(&s->peak->probe[s->peak->n - 1]);
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
    double low = 0.0, high = 0.0, rate;
    jm_status st;

    peak->n = 0;
    *used = *cfg;
    *result = (struct jm_load_result){ 0 };
    if (cfg->scenario != JM_SERVER)
        return jm_fail(err, JM_EUSAGE, "a peak is searched in the server scenario only");
    start.target_qps =
        cfg->target_qps > 0.0 ? cfg->target_qps : 1.0; /* a warm-up has no arrivals */
    st = jm_load_warmup_rate(sut, &start, &rate, err);
    if (st == JM_OK && cfg->target_qps == 0.0)
        start.target_qps = rate / 2.0;
    if (st == JM_OK)
        st = bracket(&s, rate * idle_share, &low, &high, err);
    while (st == JM_OK && high > low * resolution) {
        double qps = sqrt(low * high);
        bool valid = false;
        st = probe(&s, qps, halvings(low, high) - 1, &valid, err);
        *(valid ? &low : &high) = qps;
    }
    return st == JM_OK ? confirm(&s, low, used, result, err) : st;
}
