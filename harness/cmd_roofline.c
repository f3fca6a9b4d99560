/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark roofline: what this machine can reach at best, and how near each operation of a run
 * comes to it. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/file.h"
#include "base/number.h"
#include "harness/cmd_run_inputs.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/paths.h"
#include "harness/plot/roofline.h"
#include "harness/roofline/print.h"
#include "harness/roofline/run.h"
#include "harness/roofline/write.h"
#include "harness/stop.h"

static const char usage[] =
    "usage: joulemark roofline [options]\n\n"
    "Measures how fast this machine reads (each cache level and memory, by threads) and "
    "multiplies,\n"
    "then times every operation of a workload and says which of both limits it, and how near it\n"
    "comes. Writes DIR/roofline/: roofs.csv, batches.csv, ops.csv, roofline.svg and "
    "roofline.png.\n\n"
    "  --model FILE       and --data, --format, --kv-format, --workload, --languages, --size,\n"
    "                     --steps, --cfg, --backend, --isa, --threads, --batch: as of\n"
    "                     'joulemark run'; unless told the bundled translator\n"
    "  --scenario NAME    single-stream or offline (both unless told)\n"
    "  --suite FILE --run NAME\n"
    "                     the settings of a suite's run, in place of those above\n"
    "  --seconds S        measured in each scenario (3)\n"
    "  --roofs            the machine only, no workload\n"
    "  --results DIR      where files go (results)\n"
    "  --no-plots         draw nothing\n"
    "  --json             print one JSON document in place of the tables\n\n"
    "examples:\n"
    "  joulemark roofline\n"
    "  joulemark roofline --roofs --json\n"
    "  joulemark roofline --model hy-mt.gguf --scenario single-stream --seconds 10\n"
    "  joulemark roofline --workload imagegen --batch 4\n"
    "  joulemark roofline --suite suites/default.ini --run q4_0-offline\n";

struct request {
    struct jm_run_config run;
    const char *suite, *run_name, *results, *seconds_text;
    double seconds;
    bool roofs, plots, json;
};

/* The run that --run names of --suite. */
static jm_status from_suite(struct request *q, jm_err *err)
{
    struct jm_run_config *all;
    size_t n, i = 0;
    char *file;
    if (!q->suite != !q->run_name)
        return jm_fail(err, JM_EUSAGE, "--suite and --run go together");
    if (!q->suite)
        return JM_OK;
    if (q->run.given != 0)
        return jm_fail(err, JM_EUSAGE,
                       "--suite excludes run options: its run has settings of its own");
    jm_status st = jm_find_suite(q->suite, &file, err);
    if (st == JM_OK)
        st = jm_suite_load(file, &all, &n, err);
    free(file);
    if (st != JM_OK)
        return st;
    while (i < n && strcmp(all[i].name, q->run_name) != 0)
        i++;
    if (i < n)
        q->run = all[i];
    else
        st = jm_fail(err, JM_EUSAGE, "%s has no run '%s'; its first is '%s'", q->suite, q->run_name,
                     all[0].name);
    free(all);
    return st;
}

static jm_status check(struct request *q, jm_err *err)
{
    const char *s = q->run.scenario;
    jm_status st = from_suite(q, err);
    if (st == JM_OK && q->seconds_text)
        st = jm_number_given_real("--seconds", q->seconds_text, 0.001, 3600, &q->seconds, err);
    if (st != JM_OK)
        return st;
    if (jm_option_given(&q->run, "scenario") && strcmp(s, "single-stream") != 0 &&
        strcmp(s, "offline") != 0)
        return jm_fail(err, JM_EUSAGE, "a roofline is of single-stream or offline, not of '%.40s'",
                       s);
    return q->suite ? jm_run_check_section(&q->run, q->suite, q->run_name, err)
                    : jm_run_check(&q->run, err);
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct request *q)
{
    static const char *const own[] = { "--suite", "--run", "--results", "--seconds", NULL };
    jm_err err = { 0 };
    jm_run_config_init(&q->run);
    for (int i = 1; i < argc;) {
        bool *flag = strcmp(argv[i], "--roofs") == 0      ? &q->roofs
                     : strcmp(argv[i], "--json") == 0     ? &q->json
                     : strcmp(argv[i], "--no-plots") == 0 ? &q->plots
                                                          : NULL;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (flag) {
            *flag = flag != &q->plots;
            i++;
        } else if (!jm_option_takes("--suite", argc, argv, &i, &q->suite) &&
                   !jm_option_takes("--run", argc, argv, &i, &q->run_name) &&
                   !jm_option_takes("--results", argc, argv, &i, &q->results) &&
                   !jm_option_takes("--seconds", argc, argv, &i, &q->seconds_text) &&
                   (jm_option_is_bare(argv[i], own)
                        ? jm_fail(&err, JM_EUSAGE, "%s needs a value", argv[i])
                        : jm_option_parse(&q->run, argc, argv, &i, &err)) != JM_OK) {
            fprintf(stderr, "joulemark roofline: %s; see 'joulemark roofline --help'\n", err.text);
            return JM_EXIT_USAGE;
        }
    }
    if (check(q, &err) == JM_OK)
        return -1;
    fprintf(stderr, "joulemark roofline: %s; see 'joulemark roofline --help'\n", err.text);
    return jm_exit_code(err.status);
}

/* Workload and files of what is profiled; both are the caller's to free. */
struct inputs {
    const struct jm_workload_ops *workload;
    char *model, *source, *tokenizer, *data;
};

static jm_status find_inputs(const struct request *q, struct inputs *in, jm_err *err)
{
    *in = (struct inputs){ .workload = jm_run_workload(q->run.workload, err) };
    if (!in->workload)
        return err->status;
    jm_status st = jm_run_model_file(&q->run, q->results, &in->model, &in->source, err);
    if (st == JM_OK && q->run.tokenizer[0])
        st = jm_find_file(q->run.tokenizer, ".gguf", &in->tokenizer, err);
    return st == JM_OK ? jm_find_file(jm_run_data(&q->run), ".csv", &in->data, err) : st;
}

static void free_inputs(struct inputs *in)
{
    free(in->model);
    free(in->source);
    free(in->tokenizer);
    free(in->data);
}

/* Both scenarios, or the one that was asked for. */
static jm_status profile(const struct request *q, const struct inputs *in,
                         const struct jm_backend_ops *ops, jm_device *dev, struct jm_roofline *r,
                         jm_err *err)
{
    static const char *const scenario[] = { "single-stream", "offline" };
    const struct jm_run_config *c = &q->run;
    struct jm_roofline_load load = { .workload = in->workload,
                                     .config = { .model_path = in->model,
                                                 .tokenizer_path = in->tokenizer,
                                                 .data_path = in->data,
                                                 .languages = c->languages[0] ? c->languages : NULL,
                                                 .batch = c->batch,
                                                 .size = c->size,
                                                 .steps = c->steps,
                                                 .cfg = c->cfg,
                                                 .max_bytes = (uint64_t)(c->max_memory_gb * 1e9),
                                                 .ops = ops,
                                                 .device = dev },
                                     .seed = c->seed,
                                     .warmup_s = q->seconds / 6,
                                     .seconds = q->seconds };
    jm_status st = jm_run_kv_format(c, &load.config.kv_format, err);
    for (int i = 0; i < 2 && st == JM_OK; i++) {
        load.scenario = scenario[i];
        if (!jm_option_given(c, "scenario") || strcmp(c->scenario, scenario[i]) == 0)
            st = jm_roofline_profile(&load, r, err);
    }
    return st;
}

static jm_status measure(const struct request *q, struct jm_roofline *r, jm_err *err)
{
    const struct jm_run_config *c = &q->run;
    struct jm_device_options how = { .threads = c->threads, .isa = c->isa[0] ? c->isa : NULL };
    struct inputs in = { 0 };
    jm_backend backend;
    jm_device *dev = NULL;
    jm_status st = jm_backend_load(c->backend, &backend, err);
    if (st != JM_OK)
        return st;
    if (!q->roofs)
        st = find_inputs(q, &in, err);
    if (st == JM_OK)
        st = backend.ops->open(0, &how, &dev, err);
    if (st == JM_OK)
        st = jm_roofline_roofs(backend.ops, dev, r, err);
    if (st == JM_OK && !q->roofs)
        st = profile(q, &in, backend.ops, dev, r, err);
    if (st == JM_OK && !q->roofs)
        st = jm_roofline_again(backend.ops, dev, r, err);
    backend.ops->close(dev);
    jm_backend_unload(&backend);
    free_inputs(&in);
    return st;
}

/* Files and plot; where there is no gnuplot, its absence is told and is no failure. */
static jm_status write_all(const struct request *q, const struct jm_roofline *r, jm_err *err)
{
    char *dir = jm_results_dir(q->results, JM_RESULTS_ROOFLINE);
    jm_status st = dir ? jm_make_dirs(dir, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    if (st == JM_OK)
        st = jm_roofline_write(r, dir, err);
    if (st == JM_OK && q->plots) {
        jm_err why = { 0 };
        jm_status drawn = jm_plot_roofline(r, dir, jm_stop_on_signals(), &why);
        if (drawn == JM_ENOTFOUND)
            fprintf(stderr, "joulemark roofline: no plot: %s\n", why.text);
        else if (drawn != JM_OK)
            st = jm_fail(err, drawn, "%s", why.text);
    }
    if (st == JM_OK && !q->json)
        printf("\nfiles: %s/\n", dir);
    free(dir);
    return st;
}

int jm_cmd_roofline(int argc, char **argv)
{
    static struct jm_roofline r;
    struct request q = { .results = "results", .seconds = 3, .plots = true };
    jm_err err = { 0 };
    int code = parse(argc, argv, &q);
    if (code >= 0)
        return code;
    jm_status st = measure(&q, &r, &err);
    if (st == JM_OK && q.json)
        st = jm_roofline_json(&r, &err);
    else if (st == JM_OK)
        jm_roofline_print(&r);
    if (st == JM_OK)
        st = write_all(&q, &r, &err);
    jm_roofline_free(&r);
    if (st == JM_OK)
        return JM_EXIT_OK;
    fprintf(stderr, "joulemark roofline: %s\n", err.text);
    return jm_exit_code(st);
}
