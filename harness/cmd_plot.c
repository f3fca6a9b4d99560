/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark plot: draws a results file with gnuplot. Columns are found by name; what is drawn goes
 * through small data files in a temporary folder to the scripts in share/joulemark/plots. Strings
 * from the results reach gnuplot as arguments or quoted data, never as commands. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "harness/cmd_plot_grid.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/plot/gnuplot.h"
#include "harness/plot/plot.h"
#include "harness/plot/scratch.h"
#include "harness/stop.h"

static const char usage[] =
    "usage: joulemark plot RESULTS.csv [-o DIR] [-q]\n\n"
    "Draws latency, throughput, settings compared with intervals, throughput by threads, quality\n"
    "against throughput, size and, where energy was measured, joules, power over time with the\n"
    "phases of a run, throughput against the bound on latency where a peak was searched, and a\n"
    "grid of pictures, each as SVG and PNG, into DIR (default: the folder of RESULTS.csv).\n"
    "Where a file holds several workloads, each has its own: throughput-imagegen.png.\n"
    "-q names no files. Needs gnuplot.\n\n"
    "examples:\n"
    "  joulemark plot results/default.csv\n"
    "  joulemark plot results/default.csv -o plots\n";

/* The pictures of the first run of each label, a row each. */
static size_t data_pictures(FILE *f, const struct jm_plot_job *j)
{
    struct jm_grid grid = { .n = 0 };
    char label[JM_PLOT_LABEL], other[JM_PLOT_LABEL];
    for (size_t r = 1; r < j->t->rows && grid.n < JM_GRID_ROWS; r++) {
        bool seen = false;
        jm_plot_label(j->t, r, label);
        for (size_t q = 1; q < r && !seen; q++) {
            jm_plot_label(j->t, q, other);
            seen = strcmp(label, other) == 0;
        }
        if (!seen && strcmp(jm_table_text(j->t, r, "workload"), "imagegen") == 0)
            jm_grid_add(&grid, label, jm_plot_folder(j, r));
    }
    size_t rows = jm_grid_write(&grid, f, j->data);
    jm_grid_free(&grid);
    return rows;
}

static const struct plot {
    const char *name;
    const char *script; /* NULL: of that name */
    const char *heading, *caption;
    size_t (*data)(FILE *f, const struct jm_plot_job *j); /* returns how much there is to draw */
    const char *nothing;                                  /* why there may be nothing */
    /* What the script needs to know beside its data; NULL: nothing. */
    const char *(*extra)(const struct jm_plot_job *j);
    const char *estimated; /* caption where joules were not measured; NULL: shows none */
} plots[] = {
    { .name = "latency",
      .heading = "Latency",
      .caption =
          "Each line: all timed queries of its runs, arrival to whole answer, monotonic clock.",
      .data = jm_plot_latency,
      .nothing = "no samples.csv of a run that is not offline" },
    { .name = "throughput",
      .heading = "Throughput",
      .caption = "All timed answers over the measured window; median over runs.",
      .data = jm_plot_throughput,
      .nothing = "no rate" },
    { .name = "comparison",
      .heading = "Speed compared",
      .caption =
          "Median throughput over the first bar's; whiskers: 95% BCa interval, from 5 runs on.",
      .data = jm_plot_comparison,
      .nothing = "no two weight formats or models in one scenario" },
    { .name = "threads",
      .heading = "Throughput by threads",
      .caption = "Median over runs; whiskers: 95% BCa bootstrap interval, from 5 runs on.",
      .data = jm_plot_threads,
      .nothing = "no setting was run with several numbers of threads" },
    { .name = "quality_speed",
      .heading = "Quality against throughput",
      .caption =
          "Each point: one run, scored on the timed answers. Lines: no run is better in both.",
      .data = jm_plot_quality_speed,
      .extra = jm_plot_quality_speed_axis,
      .script = "quality",
      .nothing = "no quality_value with a rate" },
    { .name = "quality_size",
      .heading = "Quality against size",
      .caption =
          "Each point: one run, scored on the timed answers. Lines: no run is better in both.",
      .data = jm_plot_quality_size,
      .extra = jm_plot_quality_size_axis,
      .script = "quality",
      .nothing = "no quality_value" },
    { .name = "pictures",
      .heading = "Pictures",
      .caption = "Rows: one run of each weight format. Columns: the same noise.",
      .data = data_pictures,
      .nothing = "no run drew pictures" },
    { .name = "quality_energy",
      .heading = "Quality against energy",
      .caption = "Each point: one run, metered while timed. Lines: no run is better in both.",
      .data = jm_plot_quality_energy,
      .extra = jm_plot_quality_energy_axis,
      .script = "quality",
      .nothing = "no energy was measured",
      .estimated = "Each point: one run; joules of at least one run are estimated from processor "
                   "time and a power model." },
    { .name = "peak",
      .heading = "Throughput against latency bound",
      .caption = "Each point: one window of a search, random arrivals, timed from their schedule.",
      .data = jm_plot_peak,
      .nothing = "no run searched for its peak",
      .extra = jm_plot_peak_axis },
    { .name = "power",
      .heading = "Power over time",
      .caption = "Mean power between readings of each meter's counted domains; three runs at most.",
      .data = jm_plot_power,
      .nothing = "no run has a power.csv",
      .extra = jm_plot_power_panels,
      .estimated = "Mean power between values that a model estimates from processor time; no "
                   "meter." },
};

/* What a model guessed is never drawn as if a meter had measured it. */
static bool any_estimated(const struct jm_table *t)
{
    for (size_t r = 1; r < t->rows; r++)
        if (strstr(jm_table_text(t, r, "energy_source"), "estimated"))
            return true;
    return false;
}

/* *n: how much there is to draw. */
static jm_status write_data(const struct jm_plot_job *j, const struct plot *p, size_t *n,
                            jm_err *err)
{
    FILE *f = fopen(j->data, "w");

    if (!f)
        return jm_fail(err, JM_EIO, "%s: %s", j->data, strerror(errno));
    *n = p->data(f, j);
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad)
        return jm_fail(err, JM_EIO, "%s: cannot be written; is the disk full?", j->data);
    return JM_OK;
}

/* Of what is in the data file. */
static jm_status draw(const struct jm_plot_job *j, const struct plot *p, jm_err *err)
{
    char models[160], cpus[160], scenarios[160], threads[160];

    jm_plot_values(j->t, "model", models, sizeof models);
    jm_plot_values(j->t, "host_cpu", cpus, sizeof cpus);
    jm_plot_values(j->t, "scenario", scenarios, sizeof scenarios);
    jm_plot_values(j->t, "threads", threads, sizeof threads);
    char *out = jm_asprintf("%s/%s%s", j->out, p->name, j->suffix);
    bool estimated = p->estimated && any_estimated(j->t);
    char *heading =
        jm_asprintf("%s%s%s: %s on %s", p->heading, estimated ? " (estimated, not measured)" : "",
                    jm_plot_weights_note(j->t), models, cpus);
    char *caption =
        jm_asprintf("%s %zu run%s: %s; threads: %s.", estimated ? p->estimated : p->caption,
                    jm_plot_runs(j->t), jm_plot_runs(j->t) == 1 ? "" : "s", scenarios, threads);
    const struct jm_gnuplot g = {
        .script = p->script ? p->script : p->name,
        .data = j->data,
        .out = out,
        .heading = heading,
        .caption = caption,
        .scripts = j->scripts,
        .extra = { jm_plot_rate_name(j->t), jm_plot_quality_name(j->t),
                   p->extra ? p->extra(j) : NULL },
    };
    jm_status st = out && heading && caption ? jm_gnuplot_run(&g, j->stop, err)
                                             : jm_fail(err, JM_ENOMEM, "plot: out of memory");
    if (st == JM_OK && !j->quiet)
        printf("%s%s %s.svg %s.png\n", p->name, j->suffix, out, out);
    free(out);
    free(heading);
    free(caption);
    return st;
}

static jm_status draw_if_any(const struct jm_plot_job *j, const struct plot *p, jm_err *err)
{
    size_t n = 0;
    jm_status st = write_data(j, p, &n, err);

    if (st == JM_OK && n > 0)
        return draw(j, p, err);
    if (st == JM_OK && !j->quiet)
        printf("%s%s left out: %s\n", p->name, j->suffix, p->nothing);
    return st;
}

/* All plots of one workload's runs, or of all runs where workload is NULL. */
static jm_status draw_runs(struct jm_plot_job j, const char *workload, jm_err *err)
{
    struct jm_table t;
    char *suffix = jm_asprintf("%s%s", workload ? "-" : "", workload ? workload : "");
    jm_status st = suffix ? jm_table_results(j.csv, workload, &t, err)
                          : jm_fail(err, JM_ENOMEM, "plot: out of memory");
    for (char *s = suffix; s && *s; s++) /* it becomes part of a file's name */
        if (!isalnum((unsigned char)*s) && *s != '-')
            *s = '_';
    j.suffix = suffix;
    j.t = &t;
    if (st == JM_OK) {
        for (size_t i = 0; i < sizeof plots / sizeof plots[0] && st == JM_OK; i++)
            st = draw_if_any(&j, &plots[i], err);
        jm_table_free(&t);
    }
    free(suffix);
    return st;
}

/* Whether row r is the first of its workload; rows without a result are none. */
static bool opens_workload(const struct jm_table *t, size_t r)
{
    const char *workload = jm_table_text(t, r, "workload");
    for (size_t q = 1; q < r; q++)
        if (strcmp(jm_table_text(t, q, "workload"), workload) == 0)
            return false;
    return *workload != '\0';
}

/* Workloads have other units: each gets plots of its own. */
static jm_status draw_workloads(const struct jm_plot_job *j, const struct jm_table *t, jm_err *err)
{
    jm_status st = JM_OK;
    if (!jm_table_varies(t, "workload"))
        return draw_runs(*j, NULL, err);
    for (size_t r = 1; r < t->rows && st == JM_OK; r++)
        if (opens_workload(t, r))
            st = draw_runs(*j, jm_table_text(t, r, "workload"), err);
    return st;
}

/* Where plots go unless told: beside the results. malloc'd. */
static char *folder_of(const char *csv)
{
    const char *slash = strrchr(csv, '/');
    return slash ? jm_asprintf("%.*s", (int)(slash - csv) + (slash == csv), csv) : strdup(".");
}

static jm_status check_folder(const char *folder, jm_err *err)
{
    jm_status st = folder ? jm_make_dirs(folder, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    if (st == JM_OK && access(folder, W_OK | X_OK) != 0)
        st = jm_fail(err, JM_EIO, "%s: cannot write there: %s", folder, strerror(errno));
    return st;
}

static jm_status draw_all(const char *csv, const char *out, bool quiet,
                          const volatile sig_atomic_t *stop, jm_err *err)
{
    struct jm_table t;
    struct jm_scratch scratch;
    jm_status st = jm_table_results(csv, NULL, &t, err); /* no folder for what cannot be read */
    if (st != JM_OK)
        return st;
    char *folder = out ? strdup(out) : folder_of(csv);
    st = check_folder(folder, err);
    if (st == JM_OK)
        st = jm_scratch_open(&scratch, err);
    if (st == JM_OK) {
        const struct jm_plot_job j = { .csv = csv,
                                       .out = folder,
                                       .scripts = scratch.scripts,
                                       .data = scratch.data,
                                       .quiet = quiet,
                                       .stop = stop };
        st = draw_workloads(&j, &t, err);
        jm_scratch_close(&scratch);
    }
    jm_table_free(&t);
    free(folder);
    return st;
}

int jm_plot_results(const char *csv, const char *out, bool quiet, const volatile sig_atomic_t *stop)
{
    jm_err err = { .status = JM_OK };
    jm_status st = draw_all(csv, out, quiet, stop, &err);

    if (st == JM_EINTERRUPTED)
        fputs("joulemark plot: interrupted; 'joulemark plot RESULTS.csv' draws\n", stderr);
    else if (st != JM_OK)
        fprintf(stderr, "joulemark plot: %s\n", err.text);
    return jm_exit_code(st);
}

int jm_cmd_plot(int argc, char **argv)
{
    const char *csv = NULL, *out = NULL;
    bool quiet = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc && !out) {
            out = argv[++i];
        } else if (strcmp(argv[i], "-q") == 0) {
            quiet = true;
        } else if (argv[i][0] != '-' && !csv) {
            csv = argv[i];
        } else {
            fputs(usage, stderr);
            return JM_EXIT_USAGE;
        }
    }
    if (!csv) {
        fputs(usage, stderr);
        return JM_EXIT_USAGE;
    }
    return jm_plot_results(csv, out, quiet, jm_stop_on_signals());
}
