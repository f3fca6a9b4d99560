/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark synth: a model file of a real shape with random weights, to measure speed and energy
 * with where the real file is not at hand. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/progress.h"
#include "harness/stop.h"
#include "workloads/model/synth.h"

static const char usage[] =
    "usage: joulemark synth --shape SHAPE --format FORMAT -o FILE [options]\n\n"
    "Writes a GGUF file of a real model's shape with seeded random weights. It measures speed,\n"
    "memory and energy as the real file would; its answers mean nothing, and every record made "
    "with\n"
    "it says weights=synthetic. FILE appears whole or not at all.\n\n"
    "  --shape SHAPE    SHAPE-LN has N layers, such as u1-8b-L4\n";
static const char usage_rest[] =
    "  --format FORMAT  of the matrices: F32 F16 BF16 Q8_0 Q6_K Q5_K Q5_0 Q4_K Q4_0 IQ4_NL Q3_K\n"
    "                   Q2_K TQ2_0 STQ1_0\n"
    "  -o FILE          where to write\n"
    "  --seed N         another model of the shape (0)\n"
    "  --layers N       layers, instead of the shape's\n\n"
    "examples:\n"
    "  joulemark synth --shape hy-mt-1.8b --format Q4_0 -o hy-mt-synthetic-q4_0.gguf\n"
    "  joulemark synth --shape u1-8b-L4 --format Q8_0 -o u1-synthetic-L4-q8_0.gguf\n";

struct watch {
    struct jm_progress bar;
    const volatile sig_atomic_t *stop;
};

static bool on_progress(void *ctx, double done)
{
    struct watch *w = ctx;
    jm_progress_update(&w->bar, done);
    return !*w->stop;
}

static void help(FILE *f)
{
    const struct jm_synth_shape *s;
    fputs(usage, f);
    for (size_t i = 0; (s = jm_synth_shape_at(i)); i++)
        fprintf(f, "                     %-12s %s\n", s->name, s->summary);
    fputs(usage_rest, f);
}

static int write_model(const char *path, struct jm_synth_options *o)
{
    struct watch w = { .stop = jm_stop_on_signals() };
    jm_err err = { 0 };
    jm_progress_start(&w.bar, JM_PROGRESS_AUTO, stderr, o->shape);
    o->progress = on_progress;
    o->ctx = &w;
    jm_status st = jm_synth_file(path, o, &err);
    jm_progress_end(&w.bar);
    if (st != JM_OK)
        fprintf(stderr, "joulemark synth: %s\n", err.text);
    return st == JM_ENOTFOUND ? JM_EXIT_USAGE : jm_exit_code(st);
}

struct request {
    struct jm_synth_options model;
    const char *format, *path;
};

static jm_status set_option(struct request *q, int c, const char *value, jm_err *err)
{
    if (c == 'r')
        return jm_number_given_u64("--seed", value, 0, UINT64_MAX, &q->model.seed, err);
    if (c == 'l')
        return jm_number_given_u32("--layers", value, 1, 1024, &q->model.layers, err);
    const char **text = c == 's' ? &q->model.shape : c == 'f' ? &q->format : &q->path;
    *text = value;
    return JM_OK;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct request *q)
{
    static const struct option options[] = { { "shape", required_argument, NULL, 's' },
                                             { "format", required_argument, NULL, 'f' },
                                             { "output", required_argument, NULL, 'o' },
                                             { "seed", required_argument, NULL, 'r' },
                                             { "layers", required_argument, NULL, 'l' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    jm_err err = { 0 };
    jm_status st = JM_OK;
    for (int c; st == JM_OK && (c = getopt_long(argc, argv, "ho:", options, NULL)) != -1;) {
        if (c == 'h') {
            help(stdout);
            return JM_EXIT_OK;
        }
        if (c == '?')
            return JM_EXIT_USAGE;
        st = set_option(q, c, optarg, &err);
    }
    if (st == JM_OK && (!q->model.shape || !q->format || !q->path || optind != argc))
        st = jm_fail(&err, JM_EUSAGE, "--shape, --format and -o are needed, and nothing else");
    if (st == JM_OK && !jm_format_by_name(q->format, &q->model.format))
        st = jm_fail(&err, JM_EUSAGE, "no format '%.64s'", q->format);
    if (st == JM_OK)
        return -1;
    fprintf(stderr, "joulemark synth: %s; see joulemark synth --help\n", err.text);
    return jm_exit_code(st);
}

int jm_cmd_synth(int argc, char **argv)
{
    struct request q = { .path = NULL };
    int code = parse(argc, argv, &q);
    return code >= 0 ? code : write_model(q.path, &q.model);
}
