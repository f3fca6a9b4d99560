/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark run: one run from options, or the runs of a suite, one after the other. Each finished
 * run is in the CSV at once; Ctrl-C ends the current one and marks it. */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "harness/cmd_run_one.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/record/csv.h"

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void usage(FILE *f)
{
    fputs("usage: joulemark run [--suite FILE] [options]\n\n"
          "Measures speed, energy and quality, and adds a row a run to RESULTS/SUITE.csv.\n\n"
          "  --suite FILE      runs listed in an INI file; without it, one run from the options\n"
          "  --results DIR     where records go (results)\n"
          "  --progress HOW    auto, json or none (auto: only on a terminal)\n"
          "  --no-plots        draw no plots at the end\n",
          f);
    jm_options_print(f);
    fputs("\nexamples:\n"
          "  joulemark run --suite suites/default.ini\n"
          "  joulemark run --model tiny-mt-f16.gguf --scenario offline --batch 32\n"
          "  joulemark run --format Q4_0 --scenario single-stream --min-duration-s 30\n\n"
          "exit codes: 0 all valid; 1 a run failed or is invalid; 2 usage; 3 bad input; 4 system;\n"
          "            5 unsupported; 130 interrupted\n",
          f);
}

struct request {
    const char *suite_file, *results;
    enum jm_progress_mode mode;
    bool plots, options; /* options: some run option was given */
    struct jm_run_config one;
};

static bool takes(const char *arg, const char *name, int argc, char **argv, int *i,
                  const char **value)
{
    size_t n = strlen(name);
    if (strncmp(arg, name, n) != 0)
        return false;
    if (arg[n] == '=') {
        *value = arg + n + 1;
        return true;
    }
    if (arg[n] != '\0' || *i + 1 >= argc)
        return false;
    *value = argv[++*i];
    return true;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct request *q)
{
    jm_err err = { 0 };
    jm_run_config_init(&q->one);
    for (int i = 1; i < argc;) {
        const char *a = argv[i], *mode = NULL;
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            usage(stdout);
            return JM_EXIT_OK;
        } else if (strcmp(a, "--no-plots") == 0) {
            q->plots = false;
            i++;
        } else if (takes(a, "--suite", argc, argv, &i, &q->suite_file) ||
                   takes(a, "--results", argc, argv, &i, &q->results)) {
            i++;
        } else if (takes(a, "--progress", argc, argv, &i, &mode)) {
            q->mode = strcmp(mode, "json") == 0   ? JM_PROGRESS_JSON
                      : strcmp(mode, "none") == 0 ? JM_PROGRESS_NONE
                                                  : JM_PROGRESS_AUTO;
            i++;
        } else if (jm_option_parse(&q->one, argc, argv, &i, &err) == JM_OK) {
            q->options = true;
        } else {
            fprintf(stderr, "joulemark run: %s; see 'joulemark run --help'\n", err.text);
            return JM_EXIT_USAGE;
        }
    }
    if (q->suite_file && q->options) {
        fputs(
            "joulemark run: --suite and run options exclude each other; put them into the suite\n",
            stderr);
        return JM_EXIT_USAGE;
    }
    return -1;
}

static void print_number(double v, int width, int decimals)
{
    if (isnan(v))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, decimals, v);
}

static void print_header(void)
{
    printf("%-22s %-7s %8s %10s %10s %10s %9s %8s %7s %-10s %s\n", "run", "format", "MB",
           "queries/s", "tokens/s", "p50 ms", "p99 ms", "chrF2++", "of ref", "tier", "valid");
}

static void print_row(const struct jm_record *r)
{
    printf("%-22.22s %-7s", r->run_name, r->weight_format);
    print_number(r->model_bytes == JM_U64_EMPTY ? NAN : (double)r->model_bytes / 1e6, 8, 1);
    print_number(r->queries_per_s, 10, 1);
    print_number(r->tokens_out_per_s, 10, 0);
    print_number(r->latency_p50_ms, 10, 2);
    print_number(r->latency_p99_ms, 9, 2);
    print_number(r->quality_value, 8, 2);
    print_number(r->quality_ratio * 100, 6, 1);
    printf("%% %-10s %s", *r->quality_tier ? r->quality_tier : "-",
           *r->quality_valid ? r->quality_valid : "-");
    if (strcmp(r->status, "complete") != 0)
        printf("  %s: %s", r->status, r->status_reason);
    else if (*r->status_reason)
        printf("  %s", r->status_reason);
    putchar('\n');
    fflush(stdout);
}

/* "dir/default.ini" to "default", malloc'd. */
static char *suite_name(const char *file)
{
    const char *base = file ? strrchr(file, '/') : NULL;
    base = base ? base + 1 : file;
    return base ? strndup(base, strcspn(base, ".")) : strdup("single");
}

static int run_all(const struct request *q, const struct jm_run_config *runs, size_t n,
                   const char *suite, const char *csv)
{
    struct jm_progress progress = { 0 };
    struct jm_run_place place = { .results = q->results,
                                  .suite = suite,
                                  .stop = &stopped,
                                  .mode = q->mode,
                                  .progress = &progress };
    int code = JM_EXIT_OK;
    print_header();
    for (size_t i = 0; i < n && !stopped; i++) {
        struct jm_record row;
        jm_err err = { 0 }, why = { 0 };
        jm_status st = jm_run_one(&runs[i], &place, &row, &err);
        jm_status saved = jm_csv_append(csv, &row, &why);
        print_row(&row);
        if (st != JM_OK && st != JM_EINTERRUPTED)
            fprintf(stderr, "joulemark run: %s: %s\n", runs[i].name, err.text);
        if (saved != JM_OK)
            fprintf(stderr, "joulemark run: %s\n", why.text);
        if (code == JM_EXIT_OK)
            code = jm_exit_code(st != JM_OK ? st : saved);
        if (strcmp(row.quality_valid, "no") == 0) {
            fprintf(stderr, "joulemark run: %s: invalid: %s\n", runs[i].name, row.quality_reason);
            code = code == JM_EXIT_OK ? JM_EXIT_INVALID : code;
        }
        if (saved != JM_OK)
            break; /* the next would be lost as well */
    }
    return stopped ? JM_EXIT_INTERRUPTED : code;
}

static int finish(const struct request *q, const char *csv)
{
    printf("\nrecords  %s\nanswers  %.*s/RUN/samples.csv\n", csv,
           (int)(strlen(csv) - strlen(".csv")), csv);
    if (!q->plots)
        return JM_EXIT_OK;
    char *plots = jm_asprintf("%s/plots", q->results);
    char *args[] = { "plot", (char *)(uintptr_t)csv, "-o", plots, NULL };
    int code = plots ? jm_cmd_plot(4, args) : JM_EXIT_SYSTEM;
    free(plots);
    return code;
}

int jm_cmd_run(int argc, char **argv)
{
    struct request q = { .results = "results", .mode = JM_PROGRESS_AUTO, .plots = true };
    struct jm_run_config *runs = NULL;
    size_t n = 1;
    jm_err err = { 0 };
    int code = parse(argc, argv, &q);
    if (code >= 0)
        return code;
    struct sigaction sa = { .sa_handler = on_signal };
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    char *suite = suite_name(q.suite_file);
    char *csv = suite ? jm_asprintf("%s/%s.csv", q.results, suite) : NULL;
    jm_status st = csv ? jm_make_dirs(q.results, &err) : jm_fail(&err, JM_ENOMEM, "out of memory");
    if (st == JM_OK && q.suite_file)
        st = jm_suite_load(q.suite_file, &runs, &n, &err);
    if (st == JM_OK && !q.suite_file)
        snprintf(q.one.name, sizeof q.one.name, "%.24s-%.24s",
                 q.one.format[0] ? q.one.format : "run", q.one.scenario);
    if (st == JM_OK) {
        code = run_all(&q, runs ? runs : &q.one, n, suite, csv);
        int drawn = finish(&q, csv);
        code = code == JM_EXIT_OK ? drawn : code;
    } else {
        fprintf(stderr, "joulemark run: %s\n", err.text);
        code = jm_exit_code(st);
    }
    free(runs);
    free(suite);
    free(csv);
    return code;
}
