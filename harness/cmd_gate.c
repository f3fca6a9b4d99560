/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark gate: lets a change pass, or not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "harness/commands.h"
#include "harness/compare/gate.h"
#include "harness/compare/option.h"
#include "harness/exit_code.h"
#include "harness/record/csv.h"

static const char usage[] =
    "usage: joulemark gate --baseline BASE.csv [options] NEW.csv\n\n"
    "Judges new results against a baseline of the same runs on the same machine. A metric has\n"
    "regressed when the difference is significant (p < 0.02, corrected for the number of metrics)\n"
    "and the whole 95% interval lies beyond the limit. What cannot be judged does not pass.\n\n"
    "  --max-slowdown PERCENT  more time for the same work (3%)\n"
    "  --max-energy PERCENT    more joules for the same work (3%); given, energy must be there\n"
    "  --min-quality PERCENT   of the baseline's quality (99%)\n"
    "  --min-repeats N         runs of a setting on each side at least (9)\n"
    "  --junit FILE            also write a JUnit XML report\n"
    "  --github                also print GitHub annotations\n\n"
    "examples:\n"
    "  joulemark gate --baseline main.csv --max-slowdown 3% new.csv\n"
    "  joulemark gate --baseline main.csv --junit gate.xml --github new.csv\n\n"
    "exit codes: 0 pass; 1 regression, or a new run is invalid; 2 not comparable (says what\n"
    "            differs), or wrong usage; 3 no such file; 4 system\n";

struct request {
    const char *base, *fresh, *junit;
    bool github;
    struct jm_gate_limits limits;
};

/* A file, or an option with what is its value, at argv[*i]. */
static jm_status take(struct request *q, int argc, char **argv, int *i, jm_err *err)
{
    struct jm_gate_limits *limits = &q->limits;
    const char *arg = argv[*i], *v;
    if (arg[0] != '-' && !q->fresh)
        q->fresh = arg;
    else if (strcmp(arg, "--github") == 0)
        q->github = true;
    else if ((v = jm_option_value("--baseline", argc, argv, i)))
        q->base = v;
    else if ((v = jm_option_value("--junit", argc, argv, i)))
        q->junit = v;
    else if ((v = jm_option_value("--max-slowdown", argc, argv, i)))
        return jm_share_given("--max-slowdown", v, 10.0, &limits->slowdown, err);
    else if ((v = jm_option_value("--max-energy", argc, argv, i))) {
        limits->energy_required = true;
        return jm_share_given("--max-energy", v, 10.0, &limits->energy, err);
    } else if ((v = jm_option_value("--min-quality", argc, argv, i)))
        return jm_share_given("--min-quality", v, 10.0, &limits->quality, err);
    else if ((v = jm_option_value("--min-repeats", argc, argv, i)))
        return jm_number_given_u32("--min-repeats", v, JM_BOOTSTRAP_MIN, 10000, &limits->repeats,
                                   err);
    else
        return jm_fail(err, JM_EUSAGE, "cannot use '%.64s'", arg);
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
            (void)fprintf(stderr, "joulemark gate: %s; see 'joulemark gate --help'\n", err.text);
            return JM_EXIT_USAGE;
        }
    }
    if (q->base && q->fresh)
        return -1;
    (void)fputs(usage, stderr);
    return JM_EXIT_USAGE;
}

/* A file that is there but is no results file of this schema cannot be judged: a check of its own,
 * so that it is also in the JUnit report. */
static jm_status read_rows(const char *path, struct jm_record **rows, size_t *n, struct jm_gate *g,
                           jm_err *err)
{
    jm_err e = { .status = JM_OK };
    jm_status st = jm_csv_read(path, rows, n, &e);
    if (st == JM_EINPUT || st == JM_EUNSUPPORTED)
        return jm_gate_add(g, JM_GATE_INCOMPARABLE, path, "file", e.text, err);
    return st == JM_OK ? JM_OK : jm_fail(err, st, "%s", e.text);
}

static jm_status write_junit(const char *path, const struct jm_gate *g, jm_err *err)
{
    jm_writer w;
    jm_status st = jm_writer_open(path, &w, err);
    if (st != JM_OK)
        return st;
    jm_gate_print_junit(w.f, g);
    return jm_writer_commit(&w, err);
}

static jm_status gate(const struct request *q, struct jm_gate *g, jm_err *err)
{
    struct jm_record *base = NULL, *fresh = NULL;
    size_t n_base = 0, n_fresh = 0;
    jm_status st = read_rows(q->base, &base, &n_base, g, err);
    if (st == JM_OK)
        st = read_rows(q->fresh, &fresh, &n_fresh, g, err);
    if (st == JM_OK && g->outcome == JM_GATE_PASS)
        st = jm_gate_judge(base, n_base, fresh, n_fresh, &q->limits, g, err);
    free(base);
    free(fresh);
    if (st != JM_OK)
        return st;
    jm_gate_print(stdout, g);
    if (q->github)
        jm_gate_print_github(stdout, g);
    if (q->junit)
        st = write_junit(q->junit, g, err);
    if (st == JM_OK && (fflush(stdout) != 0 || ferror(stdout)))
        st = jm_fail(err, JM_EIO, "standard output: %s", strerror(errno));
    return st;
}

int jm_cmd_gate(int argc, char **argv)
{
    struct request q = { .limits = jm_gate_default };
    struct jm_gate g = { .n = 0 };
    jm_err err = { .status = JM_OK };
    int code = parse(argc, argv, &q);
    if (code >= 0)
        return code;
    jm_status st = gate(&q, &g, &err);
    /* Nothing but a judged check may pass. */
    code = g.n == 0 || g.outcome == JM_GATE_INCOMPARABLE ? JM_EXIT_INCOMPARABLE
           : g.outcome == JM_GATE_REGRESSION             ? JM_EXIT_INVALID
                                                         : JM_EXIT_OK;
    jm_gate_free(&g);
    if (st == JM_OK)
        return code;
    (void)fprintf(stderr, "joulemark gate: %s\n", err.text);
    return jm_exit_code(st);
}
