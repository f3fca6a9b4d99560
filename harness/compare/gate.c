/* SPDX-License-Identifier: Apache-2.0 */
/* See gate.h. Every way out that is not a judged metric within its limit is a check that fails:
 * nothing passes by being absent. */
#include "harness/compare/gate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/compare/select.h"

const double jm_gate_alpha = 0.02;

const struct jm_gate_limits jm_gate_default = {
    .slowdown = 0.03, .energy = 0.03, .quality = 0.99, .repeats = 9
};

jm_status jm_gate_add(struct jm_gate *g, enum jm_gate_outcome outcome, const char *setting,
                      const char *subject, const char *text, jm_err *err)
{
    if (g->n == g->room) {
        size_t want = g->room ? 2 * g->room : 16;
        struct jm_gate_check *p = realloc(g->check, want * sizeof *p);
        if (!p)
            return jm_fail(err, JM_ENOMEM, "gate: out of memory");
        g->check = p;
        g->room = want;
    }
    struct jm_gate_check *c = &g->check[g->n++];
    *c = (struct jm_gate_check){ .outcome = outcome };
    (void)snprintf(c->setting, sizeof c->setting, "%s", setting);
    (void)snprintf(c->subject, sizeof c->subject, "%s", subject);
    (void)snprintf(c->text, sizeof c->text, "%s", text);
    if (outcome == JM_GATE_REGRESSION ||
        (outcome == JM_GATE_INCOMPARABLE && g->outcome != JM_GATE_REGRESSION))
        g->outcome = outcome;
    return JM_OK;
}

void jm_gate_free(struct jm_gate *g)
{
    free(g->check);
    *g = (struct jm_gate){ .n = 0 };
}

bool jm_gate_is_regression(const struct jm_ratio *r, double p, bool higher_is_better, double limit)
{
    if (!(p < jm_gate_alpha))
        return false;
    return higher_is_better ? r->high < 1.0 / (1.0 + limit) : r->low > 1.0 + limit;
}

/* ---- rows that are no results ---- */

/* What is wrong with a row's own validity, "" when nothing is. */
static void quality_objection(const struct jm_record *r, char out[512])
{
    out[0] = '\0';
    if (strcmp(r->quality_valid, "yes") == 0 || strcmp(r->quality_valid, "unknown") == 0)
        return;
    char id[JM_TEXT_BYTES], valid[JM_TEXT_BYTES];
    jm_column_print(jm_column_find("run_id"), r, id);
    jm_column_print(jm_column_find("quality_valid"), r, valid);
    (void)snprintf(out, 512, "run %.100s: quality_valid is %.60s", *id ? id : "(no id)",
                   *valid ? valid : "(empty)");
}

/* Without these, equal could mean unknown on both sides. */
static void identity_objection(const struct jm_record *r, char out[512])
{
    static const char *const need[] = { "workload",    "model_sha256", "weights",
                                        "data_sha256", "host_cpu",     "backend",
                                        "device",      "scenario",     "quality_metric" };
    char id[JM_TEXT_BYTES], text[JM_TEXT_BYTES];
    out[0] = '\0';
    for (size_t i = 0; i < sizeof need / sizeof *need && !*out; i++) {
        const struct jm_column *c = jm_column_find(need[i]);
        if (c)
            jm_column_print(c, r, text);
        if (c && *text)
            continue;
        jm_column_print(jm_column_find("run_id"), r, id);
        (void)snprintf(out, 512, "run %.100s: %s is empty", *id ? id : "(no id)", need[i]);
    }
}

/* Adds what rows of one file are rejected for; *sound counts the others. */
static jm_status check_rows(struct jm_gate *g, const struct jm_record *rows, size_t n,
                            const char *side, enum jm_gate_outcome invalid, size_t *sound,
                            jm_err *err)
{
    char text[512];
    *sound = 0;
    for (size_t i = 0; i < n; i++) {
        jm_status st = JM_OK;
        jm_run_objection(&rows[i], text);
        if (*text) {
            st = jm_gate_add(g, invalid, side, "status", text, err);
        } else {
            identity_objection(&rows[i], text);
            if (*text)
                st = jm_gate_add(g, JM_GATE_INCOMPARABLE, side, "identity", text, err);
            quality_objection(&rows[i], text);
            if (st == JM_OK && *text)
                st = jm_gate_add(g, invalid, side, "quality_valid", text, err);
            ++*sound;
        }
        if (st != JM_OK)
            return st;
    }
    return *sound
               ? JM_OK
               : jm_gate_add(g, JM_GATE_INCOMPARABLE, side, "runs", "holds no complete run", err);
}

/* ---- metrics ---- */

/* Throughput, joules, and the tail where load arrives on its own: there throughput is given. */
static bool wanted(const struct jm_metric *m, const struct jm_pair *p)
{
    const char *s = p->a.row[0]->scenario;
    if (m->kind == JM_METRIC_LATENCY)
        return strcmp(m->column, "latency_p99_ms") == 0 && strcmp(s, "single-stream") != 0 &&
               strcmp(s, "offline") != 0;
    return m->kind == JM_METRIC_SPEED || m->kind == JM_METRIC_ENERGY;
}

static jm_status judge_finding(struct jm_gate *g, const struct jm_finding *f, const char *title,
                               const struct jm_gate_limits *l, jm_err *err)
{
    char text[512];
    const struct jm_ratio *r = &f->c.ratio;
    double limit = f->metric->kind == JM_METRIC_ENERGY ? l->energy : l->slowdown;
    if (f->verdict == JM_VERDICT_NONE)
        return jm_gate_add(g, JM_GATE_INCOMPARABLE, title, f->metric->column, f->why, err);
    if (f->estimated)
        return jm_gate_add(g, JM_GATE_INCOMPARABLE, title, f->metric->column,
                           "the energy is estimated, not measured", err);
    bool judged = f->c.na >= l->repeats && f->c.nb >= l->repeats && isfinite(r->low) &&
                  isfinite(r->high) && isfinite(f->p_holm);
    (void)snprintf(text, sizeof text,
                   "%.5g -> %.5g, ratio %.4f (%.4f to %.4f), p %.4f, limit %.3g%%", f->c.median_a,
                   f->c.median_b, r->value, r->low, r->high, f->p_holm, limit * 100.0);
    if (!judged)
        (void)snprintf(text, sizeof text,
                       "%zu baseline and %zu new runs; needs %u a side, or a lower --min-repeats",
                       f->c.na, f->c.nb, l->repeats);
    bool bad = judged && jm_gate_is_regression(r, f->p_holm, f->metric->higher, limit);
    return jm_gate_add(g,
                       !judged ? JM_GATE_INCOMPARABLE
                       : bad   ? JM_GATE_REGRESSION
                               : JM_GATE_PASS,
                       title, f->metric->column, text, err);
}

/* Medians; the answers of a run are the same each time, so no test is needed. optional: pictures
 * have no languages, and where no run has the column there is nothing to judge. */
static jm_status judge_quality(struct jm_gate *g, const struct jm_pair *p, const char *title,
                               const char *column, bool optional, double least, jm_err *err)
{
    char text[512];
    const struct jm_metric *m = jm_metric_find(column);
    size_t n = p->a.n + p->b.n, bad = 0, empty = 0;
    double *v = calloc(n + 1, sizeof *v);
    if (!v)
        return jm_fail(err, JM_ENOMEM, "gate: out of memory");
    for (size_t i = 0; i < n; i++) {
        const struct jm_record *r = i < p->a.n ? p->a.row[i] : p->b.row[i - p->a.n];
        v[i] = jm_metric_value(m, r);
        empty += isnan(v[i]) ? 1 : 0;
        bad += v[i] > 0.0 && strcmp(r->quality_metric, p->a.row[0]->quality_metric) == 0 ? 0 : 1;
    }
    double a = jm_median(v, p->a.n), b = jm_median(v + p->a.n, p->b.n);
    free(v);
    if (optional && empty == n)
        return JM_OK;
    if (bad) {
        (void)snprintf(text, sizeof text,
                       "%s is missing or 0, or quality_metric differs, in %zu runs", column, bad);
        return jm_gate_add(g, JM_GATE_INCOMPARABLE, title, column, text, err);
    }
    (void)snprintf(text, sizeof text, "%.5g -> %.5g, ratio %.4f, at least %.4f", a, b, b / a,
                   least);
    return jm_gate_add(g, b / a >= least ? JM_GATE_PASS : JM_GATE_REGRESSION, title, column, text,
                       err);
}

static jm_status judge_section(struct jm_gate *g, const struct jm_pairing *p,
                               const struct jm_section *s, const struct jm_gate_limits *l,
                               jm_err *err)
{
    char title[JM_PAIR_TEXT];
    bool speed = false, energy = false;
    jm_status st = JM_OK;
    jm_pair_title(p, s->pair, title);
    for (size_t i = 0; i < s->n && st == JM_OK; i++) {
        speed = speed || s->finding[i].metric->kind == JM_METRIC_SPEED;
        energy = energy || s->finding[i].metric->kind == JM_METRIC_ENERGY;
        st = judge_finding(g, &s->finding[i], title, l, err);
    }
    if (st == JM_OK && !speed)
        st = jm_gate_add(g, JM_GATE_INCOMPARABLE, title, "speed",
                         "tokens_out_per_s and queries_per_s are empty on both sides", err);
    if (st == JM_OK && !energy)
        st = jm_gate_add(g, l->energy_required ? JM_GATE_INCOMPARABLE : JM_GATE_SKIPPED, title,
                         "energy_j_per_query", "no energy was measured on either side", err);
    if (st == JM_OK)
        st = judge_quality(g, s->pair, title, "quality_value", false, l->quality, err);
    return st == JM_OK ? judge_quality(g, s->pair, title, "quality_worst", true, l->quality, err)
                       : st;
}

static jm_status judge_pairs(struct jm_gate *g, const struct jm_pairing *p,
                             const struct jm_gate_limits *l, jm_err *err)
{
    char title[JM_PAIR_TEXT], why[JM_PAIR_TEXT], text[JM_PAIR_TEXT + 64];
    struct jm_report r;
    struct jm_report_how how = jm_report_default;
    how.wanted = wanted;
    jm_status st = jm_report_build(p, &how, &r, err);
    if (st != JM_OK)
        return st;
    for (size_t i = 0; i < r.n && st == JM_OK; i++)
        st = judge_section(g, p, &r.section[i], l, err);
    jm_report_free(&r);
    for (size_t i = 0; i < p->n && st == JM_OK; i++) {
        if (p->pair[i].a.n && p->pair[i].b.n)
            continue;
        jm_pair_title(p, &p->pair[i], title);
        bool near = jm_pair_nearest(p, &p->pair[i], why);
        (void)snprintf(text, sizeof text, "only in the %s; %s%s",
                       p->pair[i].a.n ? "baseline" : "new results",
                       near ? "nearest there differs in " : "", why);
        st = jm_gate_add(g, JM_GATE_INCOMPARABLE, title, "pairing", text, err);
    }
    return st;
}

/* One measurement is neither two repeats nor its own baseline. */
static jm_status check_distinct(struct jm_gate *g, const struct jm_runs *a, const struct jm_runs *b,
                                jm_err *err)
{
    static const char *const where[] = { "twice in the baseline", "twice in the new results",
                                         "on both sides" };
    const struct jm_runs *const pairs[][2] = { { a, a }, { b, b }, { a, b } };
    jm_status st = JM_OK;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs && st == JM_OK; i++) {
        const struct jm_record *found;
        char text[512];
        st = jm_run_shared(pairs[i][0], pairs[i][1], &found, err);
        if (st != JM_OK || !found)
            continue;
        (void)snprintf(text, sizeof text, "run %.100s is %s", found->run_id, where[i]);
        st = jm_gate_add(g, JM_GATE_INCOMPARABLE, "both sides", "runs", text, err);
    }
    return st;
}

static const struct jm_record **sound_rows(const struct jm_record *rows, size_t n)
{
    const struct jm_record **p = calloc(n + 1, sizeof(*p));
    size_t k = 0;
    char text[512];
    for (size_t i = 0; p && i < n; i++) {
        jm_run_objection(&rows[i], text);
        if (!*text)
            p[k++] = &rows[i];
    }
    return p;
}

jm_status jm_gate_judge(const struct jm_record *base, size_t n_base, const struct jm_record *fresh,
                        size_t n_fresh, const struct jm_gate_limits *limits, struct jm_gate *out,
                        jm_err *err)
{
    struct jm_pairing p = { .n = 0 };
    struct jm_runs a = { .n = 0 }, b = { .n = 0 };
    *out = (struct jm_gate){ .n = 0 };
    jm_status st = check_rows(out, base, n_base, "baseline", JM_GATE_INCOMPARABLE, &a.n, err);
    if (st == JM_OK)
        st = check_rows(out, fresh, n_fresh, "new results", JM_GATE_REGRESSION, &b.n, err);
    if (st != JM_OK)
        return st;
    a.row = sound_rows(base, n_base);
    b.row = sound_rows(fresh, n_fresh);
    if (!a.row || !b.row)
        st = jm_fail(err, JM_ENOMEM, "gate: out of memory");
    if (st == JM_OK)
        st = check_distinct(out, &a, &b, err);
    if (st == JM_OK && a.n && b.n)
        st = jm_pair_runs(&a, &b, NULL, &p, err);
    if (st == JM_OK && a.n && b.n)
        st = judge_pairs(out, &p, limits, err);
    jm_pairing_free(&p);
    free(a.row);
    free(b.row);
    return st;
}
