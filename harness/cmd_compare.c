/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark compare: two results files, or the two sides of alternating runs in one. */
#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/compare/option.h"
#include "harness/compare/print.h"
#include "harness/compare/select.h"
#include "harness/exit_code.h"

static const char usage[] =
    "usage: joulemark compare A.csv B.csv [options]\n"
    "       joulemark compare AB.csv      [options]    (runs made with 'joulemark run --ab')\n\n"
    "Pairs runs that are alike in what ran (model, data), where (processor, backend, threads) and\n"
    "how (scenario, batch), and says for each metric how B differs from A: ratio of medians with "
    "a\n"
    "95% interval, significance corrected for the number of metrics, effect size. Runs that are\n"
    "not complete are left out, and said.\n\n"
    "  --across FIELDS    do not pair by these fields, comma separated\n"
    "  --a FIELD=VALUE    of A, only runs whose field has this value\n"
    "  --b FIELD=VALUE    of B, likewise\n"
    "  --resolve PERCENT  the difference that matters (3%)\n"
    "  --csv, --markdown, --json    instead of a table\n\n"
    "examples:\n"
    "  joulemark compare before.csv after.csv\n"
    "  joulemark compare before.csv after.csv --markdown\n"
    "  joulemark compare r.csv r.csv --a weight_format=F16 --b weight_format=Q8_0 \\\n"
    "      --across model,model_sha256,weight_format\n\n"
    "exit codes: 0 compared; 1 no runs alike on both sides; 2 usage; 3 bad input; 4 system;\n"
    "            5 newer file\n";

struct request {
    const char *a, *b; /* b NULL: one file of alternating runs */
    const char *across, *filter_a, *filter_b;
    enum jm_report_format format;
    struct jm_report_how how;
};

/* A file, or an option with what is its value, at argv[*i]. */
static jm_status take(struct request *q, int argc, char **argv, int *i, jm_err *err)
{
    const char *a = argv[*i], *v;
    if (a[0] != '-' && !q->a)
        q->a = a;
    else if (a[0] != '-' && !q->b)
        q->b = a;
    else if (strcmp(a, "--csv") == 0)
        q->format = JM_REPORT_CSV;
    else if (strcmp(a, "--markdown") == 0)
        q->format = JM_REPORT_MARKDOWN;
    else if (strcmp(a, "--json") == 0)
        q->format = JM_REPORT_JSON;
    else if ((v = jm_option_value("--across", argc, argv, i)))
        q->across = v;
    else if ((v = jm_option_value("--resolve", argc, argv, i)))
        return jm_share_given("--resolve", v, 10.0, &q->how.resolve, err);
    else if ((v = jm_option_value("--a", argc, argv, i)))
        q->filter_a = v;
    else if ((v = jm_option_value("--b", argc, argv, i)))
        q->filter_b = v;
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
            (void)fprintf(stderr, "joulemark compare: %s; see 'joulemark compare --help'\n",
                          err.text);
            return JM_EXIT_USAGE;
        }
    }
    if (q->a && (q->b || (!q->filter_a && !q->filter_b && !q->across)))
        return -1;
    (void)fputs(q->a ? "joulemark compare: --a, --b and --across need two files (they may be the "
                       "same)\n"
                     : usage,
                stderr);
    return JM_EXIT_USAGE;
}

static jm_status pair(const struct request *q, const struct jm_side *a, const struct jm_side *b,
                      struct jm_pairing *out, jm_err *err)
{
    return q->b ? jm_pair_runs(&a->runs, &b->runs, q->across, out, err)
                : jm_pair_alternating(&a->runs, out, err);
}

static jm_status compare(const struct request *q, int *code, jm_err *err)
{
    struct jm_side a = { .n_rows = 0 }, b = { .n_rows = 0 };
    struct jm_pairing p = { .n = 0 };
    struct jm_report r = { .n = 0 };
    struct jm_report_text t = { .pairing = &p, .report = &r, .how = &q->how, .a = q->a };
    t.b = q->b ? q->b : q->a;
    jm_status st = jm_side_read(q->a, q->filter_a, &a, err);
    if (st == JM_OK && q->b)
        st = jm_side_read(q->b, q->filter_b, &b, err);
    if (st == JM_OK && a.left_out)
        (void)fprintf(stderr, "%s: %zu left out; %s\n", q->a, a.left_out, a.reason);
    if (st == JM_OK && b.left_out)
        (void)fprintf(stderr, "%s: %zu left out; %s\n", q->b, b.left_out, b.reason);
    if (st == JM_OK)
        st = pair(q, &a, &b, &p, err);
    if (st == JM_OK)
        st = jm_report_build(&p, &q->how, &r, err);
    if (st == JM_OK)
        st = jm_report_print(stdout, &t, q->format, err);
    if (st == JM_OK && (fflush(stdout) != 0 || ferror(stdout)))
        st = jm_fail(err, JM_EIO, "standard output: cannot write");
    if (st == JM_OK && r.n == 0) {
        (void)fputs("joulemark compare: no runs alike on both sides; --across leaves fields out\n",
                    stderr);
        *code = JM_EXIT_INVALID;
    }
    jm_report_free(&r);
    jm_pairing_free(&p);
    jm_side_free(&a);
    jm_side_free(&b);
    return st;
}

int jm_cmd_compare(int argc, char **argv)
{
    struct request q = { .how = jm_report_default };
    jm_err err = { .status = JM_OK };
    int code = parse(argc, argv, &q);
    if (code >= 0)
        return code;
    code = JM_EXIT_OK;
    jm_status st = compare(&q, &code, &err);
    if (st == JM_OK)
        return code;
    (void)fprintf(stderr, "joulemark compare: %s\n", err.text);
    return jm_exit_code(st);
}
