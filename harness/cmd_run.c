/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark run: one run from options, or the runs of a suite, one after the other. Each finished
 * run is in the CSV at once; Ctrl-C ends the current one and marks it. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "harness/cmd_run_ab.h"
#include "harness/cmd_run_inputs.h"
#include "harness/cmd_run_one.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/load/null_sut.h"
#include "harness/order.h"
#include "harness/paths.h"
#include "harness/record/csv.h"
#include "harness/record/json.h"
#include "harness/stats/bootstrap.h"
#include "harness/stop.h"

static void usage(FILE *f)
{
    fputs(
        "usage: joulemark run [--suite FILE] [options]\n\n"
        "Measures speed, energy and quality, and adds a row a run to RESULTS/SUITE.csv.\n\n"
        "  --suite FILE      runs listed in an INI file, by path or by its name in 'joulemark "
        "list';\n"
        "                    without it, one run from the options\n"
        "  --results DIR     where records go (results)\n"
        "  --progress HOW    auto, json or none (auto: only on a terminal)\n"
        "  --no-plots        draw no plots at the end\n"
        "  --json            print one JSON document of all rows in place of the table\n"
        "  --ab TEXT TEXT    two sets of options that take turns, A B B A, and their comparison;\n"
        "                    other options hold for both; records go to RESULTS/ab.csv\n"
        "                    --repeats of each, 9 unless told\n",
        f);
    jm_options_print(f);
    fputs("\nexamples:\n"
          "  joulemark run --suite suites/default.ini\n"
          "  joulemark run --model tiny-mt-f16.gguf --scenario offline --batch 32\n"
          "  joulemark run --suite suites/default.ini --preset standard --shuffle\n"
          "  joulemark run --scenario server --find-peak --ttft-ms 500 --tpot-ms 50\n"
          "  joulemark run --format Q4_0 --scenario single-stream --min-duration-s 30\n"
          "  joulemark run --format Q4_0 --kv-format Q8_0\n"
          "  joulemark run --ab \"--format F16\" \"--format Q8_0\" --min-duration-s 5\n\n"
          "exit codes: 0 all valid; 1 a run failed or is invalid; 2 usage; 3 bad input; 4 system;\n"
          "            5 unsupported; 130 interrupted\n",
          f);
}

struct request {
    const char *suite_file, *results;
    enum jm_progress_mode mode;
    bool plots, json;
    const char *ab[2]; /* options of sides that alternate; NULL: none do */
    struct jm_run_config one;
    const volatile sig_atomic_t *stop; /* non-zero: begin nothing more */
};

static int check_ab(struct request *q)
{
    const char *wrong = NULL;
    if (!q->ab[0])
        return -1;
    if (!jm_option_given(&q->one, "repeats"))
        q->one.repeats = 9; /* what a rank test needs */
    if (q->suite_file || q->json)
        wrong =
            "--ab goes with neither --suite nor --json; 'joulemark compare --json' reads ab.csv";
    else if (q->one.repeats < JM_BOOTSTRAP_MIN)
        wrong = "--ab needs --repeats of at least 5: fewer support no interval";
    if (wrong)
        fprintf(stderr, "joulemark run: %s\n", wrong);
    return wrong ? JM_EXIT_USAGE : -1;
}

static bool set_progress(const char *how, enum jm_progress_mode *mode)
{
    *mode = strcmp(how, "json") == 0   ? JM_PROGRESS_JSON
            : strcmp(how, "none") == 0 ? JM_PROGRESS_NONE
                                       : JM_PROGRESS_AUTO;
    return *mode != JM_PROGRESS_AUTO || strcmp(how, "auto") == 0;
}

/* An option and its values at argv[*i], which moves past them. */
static jm_status take(struct request *q, int argc, char **argv, int *i, jm_err *err)
{
    static const char *const own[] = { "--suite", "--results", "--progress", "--ab", NULL };
    const char *a = argv[*i], *mode = NULL;
    bool *flag = strcmp(a, "--json") == 0       ? &q->json
                 : strcmp(a, "--no-plots") == 0 ? &q->plots
                                                : NULL;
    if (flag) {
        *flag = flag != &q->plots;
        ++*i;
        return JM_OK;
    }
    if (jm_option_takes("--suite", argc, argv, i, &q->suite_file) ||
        jm_option_takes("--results", argc, argv, i, &q->results))
        return JM_OK;
    if (strcmp(a, "--ab") == 0 && *i + 2 < argc) {
        q->ab[0] = argv[*i + 1];
        q->ab[1] = argv[*i + 2];
        *i += 3;
        return JM_OK;
    }
    if (jm_option_takes("--progress", argc, argv, i, &mode))
        return set_progress(mode, &q->mode)
                   ? JM_OK
                   : jm_fail(err, JM_EUSAGE, "--progress is auto, json or none, not '%.40s'", mode);
    if (jm_option_is_bare(a, own))
        return jm_fail(err, JM_EUSAGE, "%s needs %s", a,
                       strcmp(a, "--ab") == 0 ? "two values" : "a value");
    return jm_option_parse(&q->one, argc, argv, i, err);
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct request *q)
{
    jm_err err = { 0 };
    jm_run_config_init(&q->one);
    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            usage(stdout);
            return JM_EXIT_OK;
        }
        if (take(q, argc, argv, &i, &err) != JM_OK) {
            fprintf(stderr, "joulemark run: %s; see 'joulemark run --help'\n", err.text);
            return JM_EXIT_USAGE;
        }
    }
    if (q->suite_file && !jm_options_suit_suite(&q->one)) {
        fputs(
            "joulemark run: --suite excludes run options other than --preset, --repeats, --shuffle "
            "and --cooldown-s; put them into the suite\n",
            stderr);
        return JM_EXIT_USAGE;
    }
    return check_ab(q);
}

static void print_number(double v, int width, int decimals)
{
    if (isnan(v))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, decimals, v);
}

/* Room for the longest name of a run. */
static int name_width(const struct jm_run_config *runs, size_t n)
{
    size_t width = strlen("run");
    for (size_t i = 0; i < n; i++)
        width = strlen(runs[i].name) > width ? strlen(runs[i].name) : width;
    return (int)width;
}

static void print_header(int name_width)
{
    printf("%-*s %-7s %8s %10s %10s %10s %9s %9s %8s %-7s %7s %s\n", name_width, "run", "format",
           "MB", "queries/s", "tokens/s", "p50 ms", "p99 ms", "J/query", "quality", "", "of ref",
           "valid");
}

/* Keys and values in another format than the workload's own. */
static void print_kv_note(const struct jm_record *r)
{
    const struct jm_workload_ops *w = jm_run_workload(r->workload, NULL);
    if (w && r->kv_format[0] && strcmp(r->kv_format, jm_format_info(w->kv_format)->name) != 0)
        printf("  keys and values in %s", r->kv_format);
}

/* A figure that is not what it seems is not left without a word. */
static void print_notes(const struct jm_record *r)
{
    if (strcmp(r->weights, "synthetic") == 0)
        fputs("  synthetic weights: quality means nothing", stdout);
    if (strstr(r->energy_source, "estimated"))
        fputs("  joules estimated, not measured", stdout);
    if (r->energy_source[0] && r->energy_reason[0])
        printf("  energy: %s", r->energy_reason);
}

static void print_row(const struct jm_record *r, int name_width)
{
    /* SSIM ends at 1, others at 100. */
    int decimals = strcmp(r->quality_metric, "SSIM") == 0 ? 4 : 2;
    printf("%-*s %-7s", name_width, r->run_name, r->weight_format);
    print_number(r->model_bytes == JM_U64_EMPTY ? NAN : (double)r->model_bytes / 1e6, 8, 1);
    print_number(r->queries_per_s, 10, r->queries_per_s < 10 ? 3 : 1);
    print_number(r->tokens_out_per_s, 10, 0);
    print_number(r->latency_p50_ms, 10, 2);
    print_number(r->latency_p99_ms, 9, 2);
    print_number(r->energy_j_per_query, 9, 3);
    print_number(r->quality_value, 8, decimals);
    printf(" %-7s", r->quality_metric);
    print_number(r->quality_ratio * 100, 6, 1);
    bool complete = strcmp(r->status, "complete") == 0; /* why it is not goes to stderr */
    printf("%c %s", isnan(r->quality_ratio) ? ' ' : '%', complete ? r->quality_valid : r->status);
    if (complete && *r->status_reason)
        printf("  %s", r->status_reason);
    print_kv_note(r);
    print_notes(r);
    putchar('\n');
    fflush(stdout);
}

/* Both malloc'd, and the folder they are in made. */
static jm_status name_results(const struct request *q, char **suite, char **csv, jm_err *err)
{
    if (q->suite_file) {
        jm_status st = jm_suite_name(q->suite_file, suite, err);
        if (st != JM_OK)
            return st;
    } else {
        *suite = strdup(q->ab[0] ? "ab" : "single");
    }
    *csv = *suite ? jm_asprintf("%s/%s.csv", q->results, *suite) : NULL;
    return *csv ? jm_make_dirs(q->results, err) : jm_fail(err, JM_ENOMEM, "out of memory");
}

/* Where rows go as they come: the CSV, and the table on stdout or the JSON that ends there. */
struct output {
    const char *csv;
    cJSON *json;    /* array; NULL: print a table */
    int name_width; /* of the table */
    bool measured;  /* some run was: there is something to draw */
};

static jm_status put_row(struct output *out, const struct jm_run_place *place,
                         const struct jm_record *row)
{
    jm_err why = { 0 };
    jm_status st = jm_run_keep(out->csv, place, row, &why);
    if (st != JM_OK)
        fprintf(stderr, "joulemark run: %s\n", why.text);
    out->measured |= row->queries != JM_U64_EMPTY;
    if (!out->json) {
        print_row(row, out->name_width);
        return st;
    }
    cJSON *o = jm_record_json(row);
    if (o && cJSON_AddItemToArray(out->json, o))
        return st;
    cJSON_Delete(o);
    fputs("joulemark run: out of memory for the JSON document\n", stderr);
    return JM_ENOMEM;
}

/* The exit code of one run; *lost: its row could not be kept, the next would be lost as well. */
static int run_next(const struct jm_run_config *c, const struct jm_run_place *place,
                    struct output *out, bool *lost)
{
    struct jm_record row;
    jm_err err = { 0 };
    if (*place->stop) {
        jm_run_skip(c, place, &row);
        *lost = put_row(out, place, &row) != JM_OK;
        return JM_EXIT_INTERRUPTED;
    }
    jm_status st = jm_run_one(c, place, &row, &err);
    jm_status saved = put_row(out, place, &row);
    *lost = saved != JM_OK;
    if (st != JM_OK && st != JM_EINTERRUPTED)
        fprintf(stderr, "joulemark run: %s: %s\n", c->name, err.text);
    bool invalid = strcmp(row.status, "invalid") == 0;
    if (invalid)
        fprintf(stderr, "joulemark run: %s: invalid: %s\n", c->name, row.status_reason);
    if (strcmp(row.quality_valid, "no") == 0)
        fprintf(stderr, "joulemark run: %s: invalid: %s\n", c->name, row.quality_reason);
    if (st != JM_OK || saved != JM_OK)
        return jm_exit_code(st != JM_OK ? st : saved);
    return invalid || strcmp(row.quality_valid, "no") == 0 ? JM_EXIT_INVALID : JM_EXIT_OK;
}

/* Rest before a run; ends at once when stopped. */
static void cool_down(double seconds, const volatile sig_atomic_t *stop)
{
    int64_t end = jm_now_ns() + (int64_t)(seconds * 1e9);
    for (int64_t left = end - jm_now_ns(); left > 0 && !*stop; left = end - jm_now_ns()) {
        struct timespec t = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
        (void)nanosleep(&t, NULL);
    }
}

/* The runs that will be made, from those that the suite or the options ask for. */
static jm_status lay_out(const struct request *q, struct jm_run_config **runs, size_t *n,
                         jm_err *err)
{
    struct jm_run_config *asked = NULL, *all = NULL;
    const struct jm_run_config *from = &q->one;
    size_t n_asked = 1;
    jm_status st = JM_OK;
    if (q->suite_file) {
        char *file;
        st = jm_find_suite(q->suite_file, &file, err);
        if (st == JM_OK)
            st = jm_suite_load(file, &asked, &n_asked, err);
        free(file);
        from = asked;
    }
    for (size_t i = 0; st == JM_OK && i < n_asked && asked; i++)
        jm_options_override(&asked[i], &q->one);
    for (size_t i = 0; st == JM_OK && i < n_asked && !q->ab[0]; i++)
        st = asked ? jm_run_check_section(&from[i], q->suite_file, from[i].name, err)
                   : jm_run_check(&from[i], err);
    if (st == JM_OK)
        st = jm_order_runs(from, n_asked, &all, n, err);
    free(asked);
    *runs = all;
    return st;
}

static struct jm_run_place place_of(const struct request *q, const char *suite,
                                    struct jm_progress *progress)
{
    struct jm_run_place place = { .results = q->results,
                                  .suite = suite,
                                  .stop = q->stop,
                                  .mode = q->mode,
                                  .progress = progress };
    if (jm_null_cost_ns(&place.null_ns, NULL) != JM_OK)
        place.null_ns = NAN;
    return place;
}

static int run_all(const struct request *q, const struct jm_run_config *runs, size_t n,
                   const char *suite, struct output *out)
{
    struct jm_progress progress = { 0 };
    struct jm_run_place place = place_of(q, suite, &progress);
    int code = JM_EXIT_OK;
    bool lost = false;
    if (!out->json)
        print_header(out->name_width);
    for (size_t i = 0; i < n && !lost; i++) {
        if (i > 0)
            cool_down(runs[i].cooldown_s, q->stop);
        int one = run_next(&runs[i], &place, out, &lost);
        code = code == JM_EXIT_OK ? one : code;
    }
    return *q->stop ? JM_EXIT_INTERRUPTED : code;
}

static int print_json(const char *suite, const struct output *out)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = o && cJSON_AddStringToObject(o, "suite", suite) &&
              cJSON_AddStringToObject(o, "csv", out->csv) &&
              cJSON_AddItemReferenceToObject(o, "runs", out->json);
    if (!ok) {
        cJSON_Delete(o);
        o = NULL;
    }
    jm_err err = { 0 };
    jm_status st = jm_json_print(stdout, o, &err);
    if (st != JM_OK)
        fprintf(stderr, "joulemark run: %s\n", err.text);
    return jm_exit_code(st);
}

static int finish(const struct request *q, const char *suite, const struct output *out)
{
    const char *csv = out->csv;
    int code = JM_EXIT_OK;
    if (out->json)
        code = print_json(suite, out);
    else
        printf("\nrecords  %s\nanswers  %.*s/RUN/samples.csv\n", csv,
               (int)(strlen(csv) - strlen(".csv")), csv);
    if (!q->plots || !out->measured || *q->stop) /* 'joulemark plot' draws them */
        return code;
    char *plots = jm_results_dir(q->results, JM_RESULTS_PLOTS);
    int drawn = plots ? jm_plot_results(csv, plots, true, q->stop) : JM_EXIT_SYSTEM;
    if (drawn == JM_EXIT_OK && !out->json)
        printf("plots    %s/*.png, *.svg\n", plots);
    free(plots);
    return code == JM_EXIT_OK ? drawn : code;
}

/* Results that cannot be written are told before hours of measuring, not after. */
static jm_status check_results(const char *dir, const char *csv, jm_err *err)
{
    struct jm_record *rows;
    size_t n;
    jm_err why = { 0 };
    if (access(dir, W_OK | X_OK) != 0)
        return jm_fail(err, JM_EIO, "%s: cannot write there: %s; choose another --results", dir,
                       strerror(errno));
    jm_status st = jm_csv_read(csv, &rows, &n, &why);
    free(rows);
    if (st == JM_OK || st == JM_ENOTFOUND)
        return JM_OK;
    return jm_fail(err, st, "%s; move it away or choose another --results", why.text);
}

static int run_ab(const struct request *q, const char *suite, const char *csv)
{
    struct jm_progress progress = { 0 };
    struct jm_run_place place = place_of(q, suite, &progress);
    return jm_run_ab(&q->one, q->ab[0], q->ab[1], q->one.repeats, &place, csv);
}

int jm_cmd_run(int argc, char **argv)
{
    struct request q = { .results = "results", .mode = JM_PROGRESS_AUTO, .plots = true };
    struct jm_run_config *runs = NULL;
    size_t n = 0;
    jm_err err = { 0 };
    int code = parse(argc, argv, &q);
    if (code >= 0)
        return code;
    q.stop = jm_stop_on_signals();
    char *suite = NULL, *csv = NULL;
    jm_status st = name_results(&q, &suite, &csv, &err);
    snprintf(q.one.name, sizeof q.one.name, "%.24s-%.24s", q.one.format[0] ? q.one.format : "run",
             q.one.scenario);
    if (st == JM_OK)
        st = lay_out(&q, &runs, &n, &err);
    if (st == JM_OK)
        st = check_results(q.results, csv, &err);
    struct output out = { .csv = csv,
                          .name_width = name_width(runs, n),
                          .measured = q.ab[0] != NULL };
    if (st == JM_OK && q.json && !(out.json = cJSON_CreateArray()))
        st = jm_fail(&err, JM_ENOMEM, "out of memory");
    if (st == JM_OK) {
        code = q.ab[0] ? run_ab(&q, suite, csv) : run_all(&q, runs, n, suite, &out);
        int finished = finish(&q, suite, &out);
        code = code == JM_EXIT_OK ? finished : code;
    } else {
        fprintf(stderr, "joulemark run: %s\n", err.text);
        code = jm_exit_code(st);
    }
    cJSON_Delete(out.json);
    free(runs);
    free(suite);
    free(csv);
    return code;
}
