/* SPDX-License-Identifier: Apache-2.0 */
/* See print.h. Unknown numbers are "-" for people, empty in CSV and null in JSON. */
#include "harness/compare/print.h"

#include <cjson/cJSON.h>
#include <csv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/record/json.h"

enum { CELL = 48 };

/* A finding as text. */
struct cells {
    char a[CELL], b[CELL], ratio[CELL], interval[CELL], p[CELL], effect[CELL], verdict[160];
};

static void number(char out[CELL], int digits, double v)
{
    if (isnan(v))
        (void)snprintf(out, CELL, "-");
    else
        (void)snprintf(out, CELL, "%.*g", digits, v);
}

static void fill(struct cells *c, const struct jm_finding *f, const struct jm_report_how *how)
{
    bool none = f->verdict == JM_VERDICT_NONE;
    *c = (struct cells){ .interval = "-", .ratio = "-", .p = "-" };
    number(c->a, 5, none ? NAN : f->c.median_a);
    number(c->b, 5, none ? NAN : f->c.median_b);
    number(c->effect, 2, none ? NAN : f->c.effect);
    if (!none)
        (void)snprintf(c->ratio, CELL, "%.4f", f->c.ratio.value);
    if (!none && !isnan(f->c.ratio.low))
        (void)snprintf(c->interval, CELL, "%.4f to %.4f", f->c.ratio.low, f->c.ratio.high);
    if (!none && !isnan(f->p_holm))
        (void)snprintf(c->p, CELL, f->p_holm < 0.0001 ? "<0.0001" : "%.4f", f->p_holm);
    jm_verdict_text(f, how, c->verdict);
}

static const char *test_of(const struct jm_pair *p)
{
    return p->alternating ? "alternating pairs: Wilcoxon signed-rank, rank-biserial effect"
                          : "Mann-Whitney, Cliff's delta";
}

/* Runs without a partner, a line each. */
static void print_alone(FILE *f, const struct jm_report_text *t, const char *mark)
{
    char title[JM_PAIR_TEXT], why[JM_PAIR_TEXT];
    for (size_t i = 0; i < t->pairing->n; i++) {
        const struct jm_pair *p = &t->pairing->pair[i];
        if (p->a.n && p->b.n)
            continue;
        jm_pair_title(t->pairing, p, title);
        bool near = jm_pair_nearest(t->pairing, p, why);
        (void)fprintf(f, "%sonly in %s (%zu): %s; %s%s\n", mark, p->a.n ? "A" : "B",
                      p->a.n + p->b.n, title, near ? "nearest there differs in " : "", why);
    }
}

static const char note[] = "ratio: median B / median A (alternating: median of the pairs' ratios); "
                           "interval: 95%, BCa bootstrap;\np: Holm-corrected over all rows; "
                           "effect: -1 to 1, above 0 where B is larger";

static void print_table(FILE *f, const struct jm_report_text *t)
{
    char text[JM_PAIR_TEXT];
    (void)fprintf(f, "A  %s\nB  %s\n", t->a, t->b);
    for (size_t i = 0; i < t->report->n; i++) {
        const struct jm_section *s = &t->report->section[i];
        jm_pair_title(t->pairing, s->pair, text);
        (void)fprintf(f, "\n%s\n  runs: A %zu, B %zu; %s\n", text, s->pair->a.n, s->pair->b.n,
                      test_of(s->pair));
        jm_pair_differences(s->pair, text);
        if (*text)
            (void)fprintf(f, "  differs: %s\n", text);
        (void)fprintf(f, "  %-15s %9s %9s %7s  %-16s %8s %7s  %s\n", "metric", "A", "B", "ratio",
                      "interval", "p", "effect", "B is");
        for (size_t k = 0; k < s->n; k++) {
            struct cells c;
            fill(&c, &s->finding[k], t->how);
            (void)fprintf(f, "  %-15s %9s %9s %7s  %-16s %8s %7s  %s\n",
                          s->finding[k].metric->title, c.a, c.b, c.ratio, c.interval, c.p, c.effect,
                          c.verdict);
        }
    }
    (void)fputc('\n', f);
    print_alone(f, t, "");
    if (t->report->n)
        (void)fprintf(f, "%s\n", note);
}

/* A table cell of Markdown: no bar ends it early, no HTML starts. */
static void print_escaped(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (strchr("|<>`*\\[]", *s))
            (void)fputc('\\', f);
        (void)fputc(*s, f);
    }
}

static void print_markdown(FILE *f, const struct jm_report_text *t)
{
    char text[JM_PAIR_TEXT];
    for (size_t i = 0; i < t->report->n; i++) {
        const struct jm_section *s = &t->report->section[i];
        jm_pair_title(t->pairing, s->pair, text);
        (void)fputs("### ", f);
        print_escaped(f, text);
        (void)fprintf(f, "\n\nRuns: A %zu, B %zu; %s.\n\n", s->pair->a.n, s->pair->b.n,
                      test_of(s->pair));
        jm_pair_differences(s->pair, text);
        if (*text) {
            (void)fputs("Differs: ", f);
            print_escaped(f, text);
            (void)fputs("\n\n", f);
        }
        (void)fputs("| metric | A | B | B/A | 95% interval | p (Holm) | effect | B is |\n"
                    "|---|--:|--:|--:|:-:|--:|--:|---|\n",
                    f);
        for (size_t k = 0; k < s->n; k++) {
            struct cells c;
            fill(&c, &s->finding[k], t->how);
            (void)fprintf(f, "| %s | %s | %s | %s | %s | %s | %s | ", s->finding[k].metric->title,
                          c.a, c.b, c.ratio, c.interval, c.p, c.effect);
            print_escaped(f, c.verdict);
            (void)fputs(" |\n", f);
        }
        (void)fputc('\n', f);
    }
    print_alone(f, t, "- ");
}

static void csv_text(FILE *f, const char *s)
{
    (void)csv_fwrite(f, s, strlen(s));
    (void)fputc(',', f);
}

static void csv_number(FILE *f, double v)
{
    if (!isnan(v))
        (void)fprintf(f, "%.17g", v);
    (void)fputc(',', f);
}

static void print_csv(FILE *f, const struct jm_report_text *t)
{
    char text[JM_PAIR_TEXT], verdict[160];
    (void)fputs("pair,metric,runs_a,runs_b,paired,median_a,median_b,ratio,low,high,p,p_holm,effect,"
                "more_runs,verdict,text\n",
                f);
    for (size_t i = 0; i < t->report->n; i++)
        for (size_t k = 0; k < t->report->section[i].n; k++) {
            const struct jm_section *s = &t->report->section[i];
            const struct jm_finding *d = &s->finding[k];
            bool none = d->verdict == JM_VERDICT_NONE;
            jm_pair_title(t->pairing, s->pair, text);
            csv_text(f, text);
            (void)fprintf(f, "%s,%zu,%zu,%s,", d->metric->column, s->pair->a.n, s->pair->b.n,
                          s->pair->alternating ? "yes" : "no");
            const double v[] = { d->c.median_a,  d->c.median_b,   d->c.ratio.value,
                                 d->c.ratio.low, d->c.ratio.high, d->c.p,
                                 d->p_holm,      d->c.effect,     d->more };
            for (size_t n = 0; n < sizeof v / sizeof *v; n++)
                csv_number(f, none ? NAN : v[n]);
            (void)fprintf(f, "%s,", jm_verdict_name(d->verdict));
            jm_verdict_text(d, t->how, verdict);
            (void)csv_fwrite(f, verdict, strlen(verdict));
            (void)fputc('\n', f);
        }
}

static void json_number(cJSON *o, const char *name, double v)
{
    if (isnan(v))
        (void)cJSON_AddNullToObject(o, name);
    else
        (void)cJSON_AddNumberToObject(o, name, v);
}

static void json_finding(cJSON *list, const struct jm_finding *d, const struct jm_report_how *how)
{
    char text[160];
    bool none = d->verdict == JM_VERDICT_NONE;
    cJSON *o = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(list, o))
        return;
    (void)cJSON_AddStringToObject(o, "metric", d->metric->column);
    (void)cJSON_AddBoolToObject(o, "higher_is_better", d->metric->higher);
    json_number(o, "median_a", none ? NAN : d->c.median_a);
    json_number(o, "median_b", none ? NAN : d->c.median_b);
    json_number(o, "ratio", none ? NAN : d->c.ratio.value);
    json_number(o, "low", none ? NAN : d->c.ratio.low);
    json_number(o, "high", none ? NAN : d->c.ratio.high);
    json_number(o, "p", none ? NAN : d->c.p);
    json_number(o, "p_holm", d->p_holm);
    json_number(o, "effect", none ? NAN : d->c.effect);
    json_number(o, "more_runs", d->more);
    (void)cJSON_AddStringToObject(o, "verdict", jm_verdict_name(d->verdict));
    jm_verdict_text(d, how, text);
    (void)cJSON_AddStringToObject(o, "text", text);
}

static void json_alone(cJSON *list, const struct jm_report_text *t)
{
    char text[JM_PAIR_TEXT];
    for (size_t i = 0; i < t->pairing->n; i++) {
        const struct jm_pair *p = &t->pairing->pair[i];
        if (p->a.n && p->b.n)
            continue;
        cJSON *o = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(list, o))
            return;
        jm_pair_title(t->pairing, p, text);
        (void)cJSON_AddStringToObject(o, "runs", text);
        (void)cJSON_AddStringToObject(o, "side", p->a.n ? "A" : "B");
        (void)cJSON_AddNumberToObject(o, "n", (double)(p->a.n + p->b.n));
        jm_pair_nearest(t->pairing, p, text);
        (void)cJSON_AddStringToObject(o, "nearest_differs_in", text);
    }
}

static jm_status print_json(FILE *f, const struct jm_report_text *t, jm_err *err)
{
    char text[JM_PAIR_TEXT];
    cJSON *json = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(json, "a", t->a);
    (void)cJSON_AddStringToObject(json, "b", t->b);
    (void)cJSON_AddNumberToObject(json, "resolve", t->how->resolve);
    cJSON *list = cJSON_AddArrayToObject(json, "pairs");
    for (size_t i = 0; i < t->report->n; i++) {
        const struct jm_section *s = &t->report->section[i];
        cJSON *o = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(list, o))
            break;
        jm_pair_title(t->pairing, s->pair, text);
        (void)cJSON_AddStringToObject(o, "pair", text);
        (void)cJSON_AddNumberToObject(o, "runs_a", (double)s->pair->a.n);
        (void)cJSON_AddNumberToObject(o, "runs_b", (double)s->pair->b.n);
        (void)cJSON_AddBoolToObject(o, "paired", s->pair->alternating);
        jm_pair_differences(s->pair, text);
        (void)cJSON_AddStringToObject(o, "differs", text);
        cJSON *metrics = cJSON_AddArrayToObject(o, "metrics");
        for (size_t k = 0; k < s->n; k++)
            json_finding(metrics, &s->finding[k], t->how);
    }
    json_alone(cJSON_AddArrayToObject(json, "unpaired"), t);
    return jm_json_print(f, json, err);
}

jm_status jm_report_print(FILE *f, const struct jm_report_text *t, enum jm_report_format format,
                          jm_err *err)
{
    switch (format) {
    case JM_REPORT_TABLE:
        print_table(f, t);
        break;
    case JM_REPORT_CSV:
        print_csv(f, t);
        break;
    case JM_REPORT_MARKDOWN:
        print_markdown(f, t);
        break;
    case JM_REPORT_JSON:
        return print_json(f, t, err);
    }
    return JM_OK;
}
