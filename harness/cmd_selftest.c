/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark selftest: what measuring itself costs on this machine, beside what it should cost. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/load/load.h"
#include "harness/load/meter_cost.h"
#include "harness/load/null_sut.h"
#include "harness/load/selftest.h"
#include "harness/record/folder.h"
#include "harness/record/json.h"
#include "harness/stats/latency.h"
#include "harness/stop.h"

static const char usage[] =
    "usage: joulemark selftest [--json] [--check] [--energy METERS]\n\n"
    "Measures the measuring: the load generator against a system that answers at once, and the\n"
    "same with energy meters being read. Takes about 10 s, 2 s more where there is a meter.\n"
    "Targets are for two cores with nothing else to do. The bare clock loop shows how late any\n"
    "program is on this machine, whatever it does.\n\n"
    "  --json            print one JSON document in place of the table\n"
    "  --check           exit with 1 if a target is missed\n"
    "  --energy METERS   as of 'joulemark run' (auto)\n\n"
    "examples:\n"
    "  joulemark selftest --json\n"
    "  joulemark selftest --energy powercap --check\n";

enum { REPORT_QUERIES = 200000, MAX_LINES = 24 };

/* One line of the table. */
struct line {
    const char *name, *key, *unit;
    double value, target;
    bool at_least, has_target; /* at_least: more is better */
};

static bool met(const struct line *l)
{
    return !l->has_target || (l->at_least ? l->value >= l->target : l->value <= l->target);
}

static jm_status nothing(void *user, uint32_t id, const char **text, jm_err *err)
{
    (void)user;
    (void)id;
    (void)err;
    *text = "an answer";
    return JM_OK;
}

/* The statistics and the run's folder, as after every run. */
static jm_status write_report(const char *dir, const struct jm_load_result *r, jm_err *err)
{
    struct jm_folder_source src = { .answer = nothing };
    struct jm_run_config config;
    static struct jm_record row;
    struct jm_latency l;

    jm_run_config_init(&config);
    jm_record_clear(&row);
    jm_status st = jm_latency_compute(r->timings, r->issued, r->t_start_ns, &l, err);
    if (st == JM_OK)
        st = jm_folder_samples(dir, r->timings, r->issued, r->t_start_ns, &src, err);
    if (st == JM_OK)
        st = jm_folder_machine(dir, "", err);
    return st == JM_OK ? jm_folder_manifest(dir, &row, &config, err) : st;
}

/* From the last answer of a long run until all of its report lies on disk. */
static jm_status time_report(double *report_s, jm_err *err)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = jm_asprintf("%s/joulemark-selftest-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, 1000);
    struct jm_load_config cfg = { .scenario = JM_SINGLE_STREAM,
                                  .seed = 1,
                                  .min_queries = REPORT_QUERIES,
                                  .max_ids = REPORT_QUERIES,
                                  .stop = jm_stop_on_signals() };
    struct jm_load_result r = { 0 };
    jm_status st = JM_OK;

    if (!dir)
        st = jm_fail(err, JM_ENOMEM, "selftest: out of memory");
    else if (!mkdtemp(dir))
        st = jm_fail(err, JM_EIO, "%s: cannot be made; set TMPDIR to a folder for scratch files",
                     dir);
    if (st == JM_OK) {
        st = jm_load_run(&sut, &cfg, &r, err);
        if (st == JM_OK)
            st = write_report(dir, &r, err);
        *report_s = (double)(jm_now_ns() - r.t_end_ns) * 1e-9;
        jm_remove_folder(dir);
        if (*cfg.stop)
            st = jm_fail(err, JM_EINTERRUPTED, "interrupted");
    }
    jm_load_result_free(&r);
    jm_null_sut_close(&state);
    free(dir);
    return st;
}

#define LINE(...)                                                                                  \
    line[n++] = (struct line)                                                                      \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* A noisy machine hides the difference: a target is missed only where it is so for certain. */
static size_t fill_meters(const struct jm_meter_cost *m, struct line *line)
{
    size_t n = 0;

    LINE("reading meters, processor time", "meter_share_percent", "%", m->share * 100, 1, false,
         true);
    LINE("meters on, slower by", "meter_difference_percent", "%", (m->ratio.value - 1) * 100, 0,
         false, false);
    LINE("meters on, at least (99%)", "meter_difference_low_percent", "%", (m->ratio.low - 1) * 100,
         1, false, true);
    LINE("meters on, at most (99%)", "meter_difference_high_percent", "%",
         (m->ratio.high - 1) * 100, 0, false, false);
    return n;
}

static size_t fill(const struct jm_selftest *t, const struct jm_meter_cost *m, double report_s,
                   struct line line[MAX_LINES])
{
    const double target_us = 50.0;
    size_t n = 0;

    LINE("single-stream, a query", "single_stream_ns", "ns", t->single_ns, 200, false, true);
    LINE("offline", "offline_samples_per_s", "1/s", t->offline_per_s, 50e6, true, true);
    static const char *const names[JM_SELFTEST_RATES][6] = {
        { "server at 1,000/s, delay p50", "server_1000_delay_p50_us",
          "server at 1,000/s, delay p99", "server_1000_delay_p99_us",
          "server at 1,000/s, delay max", "server_1000_delay_max_us" },
        { "server at 50,000/s, delay p50", "server_50000_delay_p50_us",
          "server at 50,000/s, delay p99", "server_50000_delay_p99_us",
          "server at 50,000/s, delay max", "server_50000_delay_max_us" },
    };
    for (int i = 0; i < JM_SELFTEST_RATES; i++) {
        const struct jm_selftest_rate *r = &t->rate[i];
        LINE(names[i][0], names[i][1], "us", r->delay_p50_s * 1e6, 0, false, false);
        LINE(names[i][2], names[i][3], "us", r->delay_p99_s * 1e6, target_us, false, true);
        LINE(names[i][4], names[i][5], "us", r->delay_max_s * 1e6, 0, false, false);
    }
    LINE("a bare clock loop, delay p99", "clock_loop_delay_p99_us", "us", t->floor_p99_s * 1e6, 0,
         false, false);
    /* Late for want of a core is the machine's doing, late otherwise is ours. */
    if (!isnan(t->core_wait_share))
        LINE("server, waited for a core", "server_core_wait_percent", "%", t->core_wait_share * 100,
             0, false, false);
    LINE("memory a sample", "bytes_per_sample", "B", (double)t->bytes_per_sample, 64, false, true);
    LINE("report of 200,000 queries", "report_s", "s", report_s, 1, false, true);
    return n + (m->available ? fill_meters(m, line + n) : 0);
}
#undef LINE

/* No arrival is noticed sooner than a loop that does nothing else would. */
static const char *why_missed(const struct line *l, const struct jm_selftest *t)
{
    bool delay = strstr(l->key, "delay_p99") != NULL;
    return delay && t->floor_p99_s * 1e6 > l->target ? " MISSED: so does a bare clock loop here"
                                                     : " MISSED: is the machine busy?";
}

static void print_table(const struct line *line, size_t n, const struct jm_selftest *t,
                        const struct jm_meter_cost *m)
{
    printf("%-32s %14s %-4s %s\n", "", "measured", "", "target");
    for (size_t i = 0; i < n; i++) {
        const struct line *l = &line[i];
        printf("%-32s %14.*f %-4s", l->name, l->value < 1000 ? 2 : 0, l->value, l->unit);
        if (l->has_target)
            printf(" %s %.10g %s", l->at_least ? "at least" : "at most", l->target,
                   met(l) ? "" : why_missed(l, t));
        putchar('\n');
    }
    if (!m->available)
        printf("%-32s %14s      %s\n", "meters on, slower by", "unavailable", m->reason);
}

static jm_status print_json(const struct line *line, size_t n, const struct jm_meter_cost *m,
                            jm_err *err)
{
    cJSON *root = cJSON_CreateObject();
    for (size_t i = 0; i < n && root; i++) {
        cJSON *o = cJSON_AddObjectToObject(root, line[i].key);
        (void)cJSON_AddNumberToObject(o, "value", line[i].value);
        (void)cJSON_AddStringToObject(o, "unit", line[i].unit);
        if (!line[i].has_target)
            continue;
        (void)cJSON_AddNumberToObject(o, line[i].at_least ? "at_least" : "at_most", line[i].target);
        (void)cJSON_AddBoolToObject(o, "met", met(&line[i]));
    }
    if (root && !m->available)
        (void)cJSON_AddStringToObject(root, "meters_unavailable", m->reason);
    return jm_json_print(stdout, root, err);
}

struct request {
    bool json, check;
    const char *meters;
};

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct request *q)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (strcmp(argv[i], "--json") == 0) {
            q->json = true;
        } else if (strcmp(argv[i], "--check") == 0) {
            q->check = true;
        } else if (strcmp(argv[i], "--energy") == 0 && i + 1 < argc) {
            q->meters = argv[++i];
        } else if (strncmp(argv[i], "--energy=", 9) == 0) {
            q->meters = argv[i] + 9;
        } else {
            fprintf(stderr, "joulemark selftest: no option '%s'; see 'joulemark selftest --help'\n",
                    argv[i]);
            return JM_EXIT_USAGE;
        }
    }
    return -1;
}

static jm_status meter_cost(const char *meters, struct jm_meter_cost *out, jm_err *err)
{
    struct jm_session_config how = { .meters = meters };
    jm_session *s;
    jm_status st = jm_session_open(&how, &s, err);

    if (st == JM_OK)
        st = jm_meter_cost_measure(s, NULL, out, err);
    jm_session_close(s);
    return st;
}

int jm_cmd_selftest(int argc, char **argv)
{
    struct request q = { .meters = "auto" };
    struct line line[MAX_LINES];
    struct jm_selftest t;
    struct jm_meter_cost m;
    double report_s = 0.0;
    jm_err err = { .status = JM_OK };
    bool all = true;
    int code = parse(argc, argv, &q);

    if (code >= 0)
        return code;
    /* First: a meter that does not work is told before ten seconds have passed. */
    jm_status st = meter_cost(q.meters, &m, &err);
    if (st == JM_OK)
        st = jm_selftest_run(&t, &err);
    if (st == JM_OK)
        st = time_report(&report_s, &err);
    size_t n = st == JM_OK ? fill(&t, &m, report_s, line) : 0;
    if (st == JM_OK && q.json)
        st = print_json(line, n, &m, &err);
    else if (st == JM_OK)
        print_table(line, n, &t, &m);
    if (st != JM_OK) {
        fprintf(stderr, "joulemark selftest: %s\n", err.text);
        return jm_exit_code(st);
    }
    for (size_t i = 0; i < n; i++)
        all &= met(&line[i]);
    return q.check && !all ? JM_EXIT_INVALID : JM_EXIT_OK;
}
