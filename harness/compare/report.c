/* SPDX-License-Identifier: Apache-2.0 */
/* See report.h. */
#include "harness/compare/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/stats/rank_test.h"

static const double ALPHA = 0.05, POWER = 0.8;

const struct jm_report_how jm_report_default = { .resolve = 0.03, .resamples = 5000, .seed = 1 };

/* Values of a metric on one side; false when some run lacks it. */
static bool values_of(const struct jm_metric *m, const struct jm_runs *side, double *v,
                      size_t *known)
{
    *known = 0;
    for (size_t i = 0; i < side->n; i++) {
        v[i] = jm_metric_value(m, side->row[i]);
        *known += isnan(v[i]) ? 0 : 1;
    }
    return *known == side->n;
}

static const char *text_of(const char *column, const struct jm_record *r, char buf[JM_TEXT_BYTES])
{
    const struct jm_column *c = jm_column_find(column);
    buf[0] = '\0';
    if (c)
        jm_column_print(c, r, buf);
    return buf;
}

/* Joules of a chip and of a wall socket, or scores of two metrics, have no ratio. */
static bool commensurable(const struct jm_metric *m, const struct jm_pair *p, char why[160])
{
    static const char *const energy[] = { "energy_scope", "energy_source", NULL };
    static const char *const quality[] = { "quality_metric", NULL };
    const char *const *need = m->kind == JM_METRIC_ENERGY    ? energy
                              : m->kind == JM_METRIC_QUALITY ? quality
                                                             : NULL;
    char x[JM_TEXT_BYTES], y[JM_TEXT_BYTES];
    for (; need && *need; need++) {
        text_of(*need, p->a.row[0], x);
        for (size_t i = 0; i < p->a.n + p->b.n; i++) {
            text_of(*need, i < p->a.n ? p->a.row[i] : p->b.row[i - p->a.n], y);
            if (strcmp(x, y) == 0)
                continue;
            (void)snprintf(why, 160, "%s differs: %.40s and %.40s", *need, *x ? x : "(empty)",
                           *y ? y : "(empty)");
            return false;
        }
    }
    return true;
}

/* A record that says its joules are not to be relied on is believed; a schema without the
 * column says nothing. */
static bool valid_energy(const struct jm_pair *p, char why[160])
{
    const struct jm_column *c = jm_column_find("energy_valid");
    char text[JM_TEXT_BYTES];
    for (size_t i = 0; c && i < p->a.n + p->b.n; i++) {
        jm_column_print(c, i < p->a.n ? p->a.row[i] : p->b.row[i - p->a.n], text);
        if (strcmp(text, "yes") == 0)
            continue;
        (void)snprintf(why, 160, "energy_valid is %.40s in a run", *text ? text : "(empty)");
        return false;
    }
    return true;
}

/* Fills all of *f but what needs the whole family. *measured is false when neither side has the
 * metric. */
static jm_status find(const struct jm_metric *m, const struct jm_pair *p,
                      const struct jm_report_how *how, double *v, struct jm_finding *f,
                      bool *measured, jm_err *err)
{
    size_t ka, kb;
    double *a = v, *b = v + p->a.n;
    bool whole_a = values_of(m, &p->a, a, &ka), whole_b = values_of(m, &p->b, b, &kb);
    *f = (struct jm_finding){ .metric = m, .p_holm = NAN, .more = NAN };
    *measured = ka > 0 || kb > 0;
    if (!*measured)
        return JM_OK;
    if (!whole_a || !whole_b) {
        (void)snprintf(f->why, sizeof f->why, "%s is empty in %zu of A's and %zu of B's runs",
                       m->column, p->a.n - ka, p->b.n - kb);
        return JM_OK;
    }
    if (!commensurable(m, p, f->why) || (m->kind == JM_METRIC_ENERGY && !valid_energy(p, f->why)))
        return JM_OK;
    f->estimated =
        m->kind == JM_METRIC_ENERGY && strstr(p->a.row[0]->energy_source, "estimated") != NULL;
    for (size_t i = 0; i < p->a.n + p->b.n; i++)
        if (!(v[i] > 0.0)) {
            (void)snprintf(f->why, sizeof f->why, "%s is %.9g in a run: no ratio", m->column, v[i]);
            return JM_OK;
        }
    struct jm_bootstrap boot = { .paired = p->alternating,
                                 .level = 1.0 - ALPHA,
                                 .resamples = how->resamples,
                                 .seed = how->seed };
    f->verdict = JM_VERDICT_UNKNOWN; /* settled by decide */
    return jm_compare(a, p->a.n, b, p->b.n, &boot, &f->c, err);
}

/* Runs that would do, from the noise seen; where those are there already, from the interval, which
 * shrinks with the root of the number of runs. */
static double more_runs(const struct jm_finding *f, double resolve)
{
    double n = (double)(f->c.na < f->c.nb ? f->c.na : f->c.nb);
    double need = jm_needed_runs(f->c.spread, resolve, POWER, f->c.paired);
    if (need <= n) {
        double half = log(f->c.ratio.high / f->c.ratio.low) / 2.0 / log1p(resolve);
        need = ceil(n * half * half);
    }
    return isnan(need) ? NAN : fmax(1.0, need - n);
}

static void decide(struct jm_finding *f, double resolve)
{
    const struct jm_ratio *r = &f->c.ratio;
    if (f->verdict == JM_VERDICT_NONE)
        return;
    if (isnan(r->low)) {
        double need =
            fmax(JM_BOOTSTRAP_MIN, jm_needed_runs(f->c.spread, resolve, POWER, f->c.paired));
        f->verdict = JM_VERDICT_FEW;
        f->more = need - (double)(f->c.na < f->c.nb ? f->c.na : f->c.nb);
    } else if (f->p_holm < ALPHA && (r->low > 1.0 || r->high < 1.0)) {
        bool up = r->low > 1.0;
        f->verdict = up == f->metric->higher ? JM_VERDICT_BETTER : JM_VERDICT_WORSE;
    } else if (r->low >= 1.0 / (1.0 + resolve) && r->high <= 1.0 + resolve) {
        f->verdict = JM_VERDICT_SAME;
    } else {
        f->more = more_runs(f, resolve);
    }
}

static jm_status correct(struct jm_report *r, size_t n, jm_err *err)
{
    double *p = calloc(n + 1, sizeof *p);
    if (!p)
        return jm_fail(err, JM_ENOMEM, "compare: out of memory");
    for (size_t i = 0; i < n; i++)
        p[i] = r->findings[i].verdict == JM_VERDICT_NONE ? NAN : r->findings[i].c.p;
    jm_status st = jm_holm(p, n, err);
    for (size_t i = 0; i < n && st == JM_OK; i++)
        r->findings[i].p_holm = p[i];
    free(p);
    return st;
}

static jm_status build(const struct jm_pairing *p, const struct jm_report_how *how,
                       struct jm_report *out, double *work, size_t *used, jm_err *err)
{
    size_t n_metrics;
    const struct jm_metric *m = jm_metrics(&n_metrics);
    for (size_t i = 0; i < p->n; i++) {
        if (p->pair[i].a.n == 0 || p->pair[i].b.n == 0)
            continue;
        struct jm_section *s = &out->section[out->n++];
        *s = (struct jm_section){ .pair = &p->pair[i], .finding = out->findings + *used };
        for (size_t k = 0; k < n_metrics; k++) {
            bool measured;
            if (how->wanted && !how->wanted(&m[k], s->pair))
                continue;
            jm_status st = find(&m[k], s->pair, how, work, &s->finding[s->n], &measured, err);
            if (st != JM_OK)
                return st;
            s->n += measured;
        }
        *used += s->n;
    }
    return JM_OK;
}

jm_status jm_report_build(const struct jm_pairing *p, const struct jm_report_how *how,
                          struct jm_report *out, jm_err *err)
{
    size_t n_metrics, widest = 1, used = 0;
    (void)jm_metrics(&n_metrics);
    for (size_t i = 0; i < p->n; i++)
        if (p->pair[i].a.n + p->pair[i].b.n > widest)
            widest = p->pair[i].a.n + p->pair[i].b.n;
    *out = (struct jm_report){ .section = calloc(p->n + 1, sizeof *out->section),
                               .findings = calloc(p->n * n_metrics + 1, sizeof *out->findings) };
    double *work = calloc(widest, sizeof *work);
    jm_status st = JM_OK;
    if (!out->section || !out->findings || !work)
        st = jm_fail(err, JM_ENOMEM, "compare: out of memory");
    if (st == JM_OK)
        st = build(p, how, out, work, &used, err);
    if (st == JM_OK)
        st = correct(out, used, err);
    for (size_t i = 0; i < used && st == JM_OK; i++)
        decide(&out->findings[i], how->resolve);
    free(work);
    if (st != JM_OK)
        jm_report_free(out);
    return st;
}

void jm_report_free(struct jm_report *r)
{
    free(r->section);
    free(r->findings);
    *r = (struct jm_report){ .n = 0 };
}

const char *jm_verdict_name(enum jm_verdict v)
{
    static const char *const name[] = {
        [JM_VERDICT_NONE] = "unavailable", [JM_VERDICT_FEW] = "few",
        [JM_VERDICT_BETTER] = "better",    [JM_VERDICT_WORSE] = "worse",
        [JM_VERDICT_SAME] = "same",        [JM_VERDICT_UNKNOWN] = "undetectable",
    };
    return name[v];
}

static void few_text(const struct jm_finding *f, char out[160])
{
    size_t least = f->c.na < f->c.nb ? f->c.na : f->c.nb;
    if (least == 1)
        (void)snprintf(out, 160, "one run supports no interval: repeat it at least %d times",
                       JM_BOOTSTRAP_MIN);
    else
        (void)snprintf(out, 160, "%zu runs support no interval: needs about %.0f more repeats",
                       least, f->more);
}

static void verdict_text(const struct jm_finding *f, const struct jm_report_how *how, char out[160])
{
    double percent = fabs(f->c.ratio.value - 1.0) * 100.0;
    switch (f->verdict) {
    case JM_VERDICT_NONE:
        (void)snprintf(out, 160, "%.150s", f->why);
        return;
    case JM_VERDICT_FEW:
        few_text(f, out);
        return;
    case JM_VERDICT_BETTER:
    case JM_VERDICT_WORSE:
        (void)snprintf(out, 160, "%.3g%% %s", percent, jm_verdict_name(f->verdict));
        return;
    case JM_VERDICT_SAME:
        (void)snprintf(out, 160, "same within %.3g%%", how->resolve * 100.0);
        return;
    case JM_VERDICT_UNKNOWN:
        (void)snprintf(out, 160,
                       "no difference detectable: needs about %.0f more repeats to see %.3g%%",
                       f->more, how->resolve * 100.0);
        return;
    }
}

void jm_verdict_text(const struct jm_finding *f, const struct jm_report_how *how, char out[160])
{
    verdict_text(f, how, out);
    size_t n = strlen(out);
    if (f->estimated)
        (void)snprintf(out + n, 160 - n, " (estimated)");
}
