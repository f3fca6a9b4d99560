/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark reproduce: runs a claim, or a recorded run, again and says whether it holds. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/number.h"
#include "base/sha256.h"
#include "harness/cmd_run_ab.h"
#include "harness/cmd_run_inputs.h"
#include "harness/commands.h"
#include "harness/compare/option.h"
#include "harness/compare/report.h"
#include "harness/compare/select.h"
#include "harness/exit_code.h"
#include "harness/load/null_sut.h"
#include "harness/paths.h"
#include "harness/record/claim.h"
#include "harness/record/past_run.h"
#include "harness/stop.h"

static const char usage[] =
    "usage: joulemark reproduce CLAIM.ini | RUN_DIR [options]\n\n"
    "Checks the SHA-256 of models and data, runs what is claimed again, and answers reproduced,\n"
    "refuted, or underpowered with the number of repeats that would decide. A claim compares two\n"
    "settings in alternating runs, or a metric with a value. A run's folder is run again as its\n"
    "manifest says, and speed, energy and quality are compared with its row of results.\n\n"
    "  --repeats N          runs of each setting (the claim's, or 9; 5 to 1000)\n"
    "  --tolerance PERCENT  for a run's folder: how near counts as the same (5%)\n"
    "  --results DIR        where new records go (results)\n\n"
    "examples:\n"
    "  joulemark reproduce claims/stq1-vs-q4.ini\n"
    "  joulemark reproduce results/default/20240501T120000Z-f16-offline-4711 --repeats 9\n\n"
    "exit codes: 0 reproduced; 1 refuted; 2 underpowered, not comparable, or wrong usage;\n"
    "            3 bad input; 4 system; 5 the metric cannot be measured here; 130 interrupted\n";

struct request {
    const char *what, *results;
    const char *csv, *suite; /* where rows go */
    uint32_t repeats;        /* 0: as the claim says */
    double tolerance;
    const volatile sig_atomic_t *stop; /* non-zero: begin nothing more */
};

static const char *const verdict_word[] = { [JM_CLAIM_REPRODUCED] = "reproduced",
                                            [JM_CLAIM_REFUTED] = "refuted",
                                            [JM_CLAIM_UNDERPOWERED] = "underpowered" };

static int verdict_exit(enum jm_claim_verdict v)
{
    return v == JM_CLAIM_REPRODUCED ? JM_EXIT_OK
           : v == JM_CLAIM_REFUTED  ? JM_EXIT_INVALID
                                    : JM_EXIT_INCOMPARABLE;
}

static void print_verdict(enum jm_claim_verdict v, double more)
{
    if (v != JM_CLAIM_UNDERPOWERED)
        printf("%s\n", verdict_word[v]);
    else if (more > 10000)
        printf("underpowered: more than 10000 more repeats\n");
    else
        printf("underpowered: about %.0f more repeats\n", more);
}

/* The file is the one meant; JM_ERANGE: it is another. hex "": any. */
static jm_status check_hash(const char *name, const char *suffix, const char *hex, jm_err *err)
{
    char have[JM_SHA256_HEX], *path = NULL;
    if (!*hex)
        return JM_OK;
    jm_status st = jm_find_file(name, suffix, &path, err);
    if (st == JM_OK)
        st = jm_sha256_file(path, have, err);
    if (st == JM_OK && strcmp(have, hex) != 0)
        st = jm_fail(err, JM_ERANGE, "%s has SHA-256 %s, not %s: not what the claim is about", path,
                     have, hex);
    free(path);
    return st;
}

static jm_status check_side(const struct jm_claim_side *s, const char *claim, jm_err *err)
{
    jm_status st = jm_run_check_section(&s->run, claim, s->run.name, err);
    if (st == JM_OK)
        st = check_hash(jm_run_model(&s->run), ".gguf", s->model_sha256, err);
    return st == JM_OK ? check_hash(jm_run_data(&s->run), ".csv", s->data_sha256, err) : st;
}

/* Complete runs of one side, in order. */
static struct jm_runs side_of(const struct jm_session *s, const char *side,
                              const struct jm_record **room)
{
    struct jm_runs out = { .row = room };
    char objection[512];
    for (size_t i = 0; i < s->n; i++) {
        jm_run_objection(&s->row[i], objection);
        if (!*objection && strcmp(s->row[i].ab_side, side) == 0)
            out.row[out.n++] = &s->row[i];
    }
    return out;
}

/* The column's values of whole runs; JM_EUNSUPPORTED when it was not measured or is an estimate. */
static jm_status values_of(const struct jm_runs *r, const struct jm_column *c, double *v,
                           jm_err *err)
{
    const struct jm_column *valid = jm_column_find("energy_valid");
    bool energy = strncmp(c->name, "energy", 6) == 0 || strncmp(c->name, "power", 5) == 0;
    char text[JM_TEXT_BYTES] = "yes";
    for (size_t i = 0; i < r->n; i++) {
        v[i] = jm_column_number(c, r->row[i]);
        if (!(v[i] > 0.0))
            return jm_fail(err, JM_EUNSUPPORTED, "%s was not measured%s%.200s", c->name,
                           energy && *r->row[i]->energy_reason ? ": " : "",
                           energy ? r->row[i]->energy_reason : "");
        if (energy && valid)
            jm_column_print(valid, r->row[i], text);
        if (energy && (strstr(r->row[i]->energy_source, "estimated") || strcmp(text, "yes") != 0))
            return jm_fail(err, JM_EUNSUPPORTED, "%s is estimated or not valid: %.200s", c->name,
                           r->row[i]->energy_reason);
    }
    return JM_OK;
}

/* Median of b over claimed value: pairs with a, or with `value` alone when a has no runs. */
static jm_status ratio_of(const struct jm_runs *a, const struct jm_runs *b,
                          const struct jm_column *c, double value, struct jm_ratio *out,
                          jm_err *err)
{
    struct jm_bootstrap how = { .paired = true, .level = 0.95, .resamples = 5000, .seed = 1 };
    double *v = calloc(2 * b->n + 1, sizeof *v);
    jm_status st = v ? values_of(b, c, v + b->n, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    if (st == JM_OK && a->n)
        st = values_of(a, c, v, err);
    for (size_t i = 0; i < b->n && st == JM_OK; i++)
        v[i] = a->n ? v[i] * value : value;
    if (st == JM_OK)
        st = jm_ratio_interval(v, b->n, v + b->n, b->n, &how, out, err);
    free(v);
    return st;
}

static jm_status session(const struct request *q, const struct jm_run_config *a,
                         const struct jm_run_config *b, uint32_t repeats, struct jm_session *s,
                         jm_err *err)
{
    struct jm_progress progress = { 0 };
    struct jm_run_place place = { .results = q->results,
                                  .suite = q->suite,
                                  .stop = q->stop,
                                  .mode = JM_PROGRESS_AUTO,
                                  .progress = &progress };
    if (jm_null_cost_ns(&place.null_ns, NULL) != JM_OK)
        place.null_ns = NAN;
    jm_status st = jm_session_run(a, b, repeats, &place, q->csv, stdout, s, err);
    for (size_t i = 0; i < s->n && st == JM_OK; i++)
        if (strcmp(s->row[i].status, "complete") != 0)
            st = jm_fail(err, JM_EDEVICE, "run %zu is no result: %.60s: %.300s", i + 1,
                         s->row[i].status, s->row[i].status_reason);
    return st;
}

/* The condition of a claim: NAN: there is none. */
static jm_status check_quality(const struct jm_runs *subject, double least, bool *kept, jm_err *err)
{
    *kept = true;
    for (size_t i = 0; i < subject->n && !isnan(least); i++) {
        double q = subject->row[i]->quality_ratio;
        if (isnan(q))
            return jm_fail(err, JM_ERANGE,
                           "quality_ratio is empty: the claim's subject needs a "
                           "reference");
        if (i == 0)
            printf("quality: %.2f%% of the reference's, claimed at least %.4g%%\n", q * 100,
                   least * 100);
        *kept = *kept && q >= least;
    }
    return JM_OK;
}

static jm_status judge_claim(const struct jm_claim *c, const struct jm_column *column,
                             const struct jm_session *s, int *code, jm_err *err)
{
    static const char *const word[] = {
        [JM_AT_LEAST] = "at least", [JM_AT_MOST] = "at most", [JM_EQUAL] = "equal to"
    };
    const struct jm_record **room = calloc(2 * s->n + 1, sizeof(*room));
    struct jm_ratio r = { .value = NAN, .low = NAN, .high = NAN };
    char text[JM_PAIR_TEXT];
    double more;
    bool kept = true;
    if (!room)
        return jm_fail(err, JM_ENOMEM, "out of memory");
    struct jm_pair p = { .alternating = true };
    p.b = side_of(s, c->has_other ? "B" : "", room);
    if (c->has_other)
        p.a = side_of(s, "A", room + s->n);
    jm_status st = ratio_of(&p.a, &p.b, column, c->value, &r, err);
    if (st == JM_OK) {
        printf("\nclaimed: %s\n%s %s %s %.6g, tolerance %.3g%%\nmeasured: %.4f (%.4f to %.4f), "
               "%zu %s\n",
               *c->text ? c->text : "(no text)", column->name,
               c->has_other ? "of subject over other" : "of subject", word[c->relation], c->value,
               c->tolerance * 100, r.value * c->value, r.low * c->value, r.high * c->value, p.b.n,
               c->has_other ? "alternating pairs" : "runs");
        st = check_quality(&p.b, c->min_quality, &kept, err);
    }
    if (st == JM_OK) {
        enum jm_claim_verdict v = jm_claim_judge(c->relation, c->tolerance, r.value, r.low, r.high,
                                                 (uint32_t)p.b.n, &more);
        v = kept ? v : JM_CLAIM_REFUTED;
        jm_pair_differences(&p, text);
        printf("on: %s, commit %s%s%s\n", p.b.row[0]->host_cpu, p.b.row[0]->commit,
               *text ? "\ndiffers: " : "", text);
        print_verdict(v, more);
        *code = verdict_exit(v);
    }
    free(room);
    return st;
}

static jm_status reproduce_claim(const struct request *q, int *code, jm_err *err)
{
    struct jm_session s = { .n = 0 };
    struct jm_claim c;
    jm_status st = jm_claim_load(q->what, &c, err);
    if (st != JM_OK)
        return st;
    const struct jm_column *column = jm_column_find(c.metric);
    if (!column || column->kind == JM_COLUMN_TEXT)
        return jm_fail(err, JM_EINPUT, "%s: metric '%s' is no number in the results", q->what,
                       c.metric);
    st = check_side(&c.subject, q->what, err);
    if (st == JM_OK && c.has_other)
        st = check_side(&c.other, q->what, err);
    if (st == JM_OK)
        st = session(q, c.has_other ? &c.other.run : &c.subject.run,
                     c.has_other ? &c.subject.run : NULL, q->repeats ? q->repeats : c.repeats, &s,
                     err);
    if (st == JM_OK)
        st = judge_claim(&c, column, &s, code, err);
    free(s.row);
    return st;
}

/* One metric of the recorded run against the new ones; the worst verdict is kept. */
static jm_status judge_metric(const struct jm_metric *m, const struct jm_past_run *past,
                              const struct jm_runs *now, double tolerance,
                              enum jm_claim_verdict *worst, double *most, bool *judged, jm_err *err)
{
    double then = jm_metric_value(m, &past->record), more;
    struct jm_runs none = { .n = 0 };
    struct jm_ratio r;
    if (m->kind == JM_METRIC_LATENCY || !(then > 0.0))
        return JM_OK;
    jm_status st = ratio_of(&none, now, jm_column_find(m->column), then, &r, err);
    if (st != JM_OK)
        return st;
    enum jm_claim_verdict v =
        jm_claim_judge(JM_EQUAL, tolerance, r.value, r.low, r.high, (uint32_t)now->n, &more);
    printf("%-15s then %-9.5g now %-9.5g ratio %.4f (%.4f to %.4f)  %s\n", m->title, then,
           then * r.value, r.value, r.low, r.high, verdict_word[v]);
    if (v == JM_CLAIM_REFUTED || (v == JM_CLAIM_UNDERPOWERED && *worst != JM_CLAIM_REFUTED))
        *worst = v;
    *most = v == JM_CLAIM_UNDERPOWERED ? fmax(*most, more) : *most;
    *judged = true;
    return JM_OK;
}

static jm_status judge_run(const struct request *q, const struct jm_past_run *past,
                           const struct jm_session *s, int *code, jm_err *err)
{
    size_t n;
    const struct jm_metric *m = jm_metrics(&n);
    const struct jm_record **room = calloc(s->n + 1, sizeof(*room));
    enum jm_claim_verdict worst = JM_CLAIM_REPRODUCED;
    double more = 0.0;
    bool judged = false;
    jm_status st = room ? JM_OK : jm_fail(err, JM_ENOMEM, "out of memory");
    struct jm_runs now = room ? side_of(s, "", room) : (struct jm_runs){ .n = 0 };
    for (size_t i = 0; i < now.n && st == JM_OK; i++)
        if (strcmp(now.row[i]->model_sha256, past->record.model_sha256) != 0 ||
            strcmp(now.row[i]->data_sha256, past->record.data_sha256) != 0)
            st = jm_fail(err, JM_ERANGE,
                         "the model or data here is not the recorded one: model "
                         "%.64s, recorded %.64s",
                         now.row[i]->model_sha256, past->record.model_sha256);
    if (st == JM_OK)
        (void)putchar('\n');
    for (size_t i = 0; i < n && st == JM_OK; i++)
        st = judge_metric(&m[i], past, &now, q->tolerance, &worst, &more, &judged, err);
    if (st == JM_OK && !judged)
        st = jm_fail(err, JM_ERANGE, "the recorded run has neither speed, energy nor quality");
    if (st == JM_OK) {
        printf("tolerance %.3g%%; what differs in the environment:\n", q->tolerance * 100);
        int d = jm_past_run_print_differences(stdout, q->what, past, 20);
        if (d <= 0)
            printf("  %s\n", d == 0 ? "nothing known" : "unknown: machine.json cannot be read");
        print_verdict(worst, more);
        *code = verdict_exit(worst);
    }
    free(room);
    return st;
}

static jm_status reproduce_run(const struct request *q, int *code, jm_err *err)
{
    struct jm_session s = { .n = 0 };
    struct jm_past_run *past = malloc(sizeof *past);
    jm_status st =
        past ? jm_past_run_read(q->what, past, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    char objection[512] = "";
    if (st == JM_OK)
        st = jm_run_check_section(&past->config, q->what, "settings", err);
    if (st == JM_OK)
        jm_run_objection(&past->record, objection);
    if (*objection)
        st = jm_fail(err, JM_ERANGE, "%s", objection);
    if (st == JM_OK && !past->config.format[0]) /* else the record's hash is of the made model */
        st = check_hash(jm_run_model(&past->config), ".gguf", past->record.model_sha256, err);
    if (st == JM_OK)
        st = check_hash(jm_run_data(&past->config), ".csv", past->record.data_sha256, err);
    if (st == JM_OK)
        st = session(q, &past->config, NULL, q->repeats ? q->repeats : 9, &s, err);
    if (st == JM_OK)
        st = judge_run(q, past, &s, code, err);
    free(s.row);
    free(past);
    return st;
}

/* What to reproduce, or an option with its value, at argv[*i]. */
static jm_status take(struct request *q, int argc, char **argv, int *i, jm_err *err)
{
    const char *a = argv[*i], *v;
    if ((v = jm_option_value("--repeats", argc, argv, i)))
        return jm_number_given_u32("--repeats", v, 5, 1000, &q->repeats, err);
    if ((v = jm_option_value("--tolerance", argc, argv, i)))
        return jm_share_given("--tolerance", v, 0.5, &q->tolerance, err);
    if ((v = jm_option_value("--results", argc, argv, i)))
        q->results = v;
    else if (a[0] != '-' && !q->what)
        q->what = a;
    else
        return jm_fail(err, JM_EUSAGE, "cannot use '%.64s'", a);
    return JM_OK;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct request *q)
{
    jm_err err = { .status = JM_OK };
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (take(q, argc, argv, &i, &err) != JM_OK) {
            (void)fprintf(stderr, "joulemark reproduce: %s; see 'joulemark reproduce --help'\n",
                          err.text);
            return JM_EXIT_USAGE;
        }
    }
    if (q->what)
        return -1;
    (void)fputs(usage, stderr);
    return JM_EXIT_USAGE;
}

int jm_cmd_reproduce(int argc, char **argv)
{
    struct request q = { .results = "results", .suite = "reproduce", .tolerance = 0.05 };
    jm_err err = { .status = JM_OK };
    struct stat sb;
    int code = parse(argc, argv, &q);
    if (code >= 0)
        return code;
    q.stop = jm_stop_on_signals();
    char *csv = jm_asprintf("%s/%s.csv", q.results, q.suite);
    q.csv = csv;
    code = JM_EXIT_INCOMPARABLE; /* until a verdict says otherwise */
    jm_status st = csv ? jm_make_dirs(q.results, &err) : jm_fail(&err, JM_ENOMEM, "out of memory");
    if (st == JM_OK && stat(q.what, &sb) == 0 && S_ISDIR(sb.st_mode))
        st = reproduce_run(&q, &code, &err);
    else if (st == JM_OK)
        st = reproduce_claim(&q, &code, &err);
    free(csv);
    if (st == JM_OK)
        return code;
    (void)fprintf(stderr, "joulemark reproduce: %s\n", err.text);
    /* JM_ERANGE here: another model, or a record that is no result. */
    return st == JM_ERANGE ? JM_EXIT_INCOMPARABLE : jm_exit_code(st);
}
