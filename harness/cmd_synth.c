/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark synth: a model file of a real shape with random weights, to measure speed and energy
 * with where the real file is not at hand. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* A whole number into *out; says what is wrong otherwise. */
static bool number(const char *option, const char *text, unsigned long long least,
                   unsigned long long most, unsigned long long *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= least &&
        *out <= most)
        return true;
    fprintf(stderr, "joulemark synth: --%s %s: not a whole number from %llu to %llu\n", option,
            text, least, most);
    return false;
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

int jm_cmd_synth(int argc, char **argv)
{
    static const struct option options[] = { { "shape", required_argument, NULL, 's' },
                                             { "format", required_argument, NULL, 'f' },
                                             { "output", required_argument, NULL, 'o' },
                                             { "seed", required_argument, NULL, 'r' },
                                             { "layers", required_argument, NULL, 'l' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    struct jm_synth_options o = { 0 };
    const char *format = NULL, *path = NULL;
    unsigned long long n;
    for (int c; (c = getopt_long(argc, argv, "ho:", options, NULL)) != -1;) {
        if (c == 's')
            o.shape = optarg;
        else if (c == 'f')
            format = optarg;
        else if (c == 'o')
            path = optarg;
        else if (c == 'r' && number("seed", optarg, 0, UINT64_MAX, &n))
            o.seed = n;
        else if (c == 'l' && number("layers", optarg, 1, 1024, &n))
            o.layers = (uint32_t)n;
        else if (c == 'h') {
            help(stdout);
            return JM_EXIT_OK;
        } else
            return JM_EXIT_USAGE;
    }
    if (!o.shape || !format || !path || optind != argc) {
        fputs("joulemark synth: --shape, --format and -o are needed, and nothing else; see "
              "joulemark synth --help\n",
              stderr);
        return JM_EXIT_USAGE;
    }
    if (!jm_format_by_name(format, &o.format)) {
        fprintf(stderr, "joulemark synth: no format '%s'; see joulemark synth --help\n", format);
        return JM_EXIT_USAGE;
    }
    return write_model(path, &o);
}
