/* SPDX-License-Identifier: Apache-2.0 */
/* What the plots share. A plot is a function here that writes its data, and a gnuplot script of the
 * same name in plots/. */
#ifndef JM_HARNESS_PLOT_PLOT_H
#define JM_HARNESS_PLOT_PLOT_H

#include <signal.h>
#include <stdio.h>

#include "harness/plot/table.h"

enum { JM_PLOT_LABEL = 96, JM_PLOT_MOST = 12 };

/* What a drawing needs to know. */
struct jm_plot_job {
    const struct jm_table *t;
    const char *csv, *out; /* results file; output folder */
    const char *scripts;   /* folder */
    const char *data;      /* scratch data file */
    const char *suffix;    /* of the names of what is drawn: "-imagegen" where there are others */
    bool quiet;            /* says nothing on stdout */
    const volatile sig_atomic_t *stop; /* non-zero: draw no further; NULL: never */
};

/* Weight format, with the model where the format alone is not clear, and the backend where the file
 * holds several, and "synthetic" where it holds weights of both kinds. */
void jm_plot_label(const struct jm_table *t, size_t r, char out[JM_PLOT_LABEL]);

/* The different values of a column, "a, b and 2 more". */
void jm_plot_values(const struct jm_table *t, const char *column, char *out, size_t room);

/* What a heading says of weights that are not real: "", or a note in brackets after a blank. */
const char *jm_plot_weights_note(const struct jm_table *t);

/* Rows that hold a result. */
size_t jm_plot_runs(const struct jm_table *t);

/* What gnuplot's data files cannot hold inside quotes becomes a blank. */
void jm_plot_clean(char *s);

/* For qsort of doubles. */
int jm_plot_by_value(const void *a, const void *b);

/* A series: the runs with the label and scenario of run r, and where column is not NULL the same
 * value there. Whether r is the first of its series. */
bool jm_plot_first(const struct jm_table *t, size_t r, const char *column);
bool jm_plot_alike(const struct jm_table *t, size_t q, size_t r, const char *column);

/* tokens_out_per_s of r's series, or queries_per_s where there are no tokens: v [t->rows]. Returns
 * how many. */
size_t jm_plot_speeds(const struct jm_table *t, size_t r, const char *column, double *v);

/* What the runs count: the column and its name on an axis. Tokens, or pictures where all runs draw.
 */
const char *jm_plot_rate(const struct jm_table *t);
const char *jm_plot_rate_name(const struct jm_table *t);
/* The name of quality_value on an axis. */
const char *jm_plot_quality_name(const struct jm_table *t);

/* The folder of a run: record_dir is relative to that of the results file. In older files it was
 * relative to where the run was started: then it is sought from here, and by its last two names
 * beside the results file. malloc'd. NULL: no memory. */
char *jm_plot_folder(const struct jm_plot_job *j, size_t r);
/* A file of it. As jm_table_read. */
jm_status jm_plot_file(const struct jm_plot_job *j, size_t r, const char *name,
                       struct jm_table *out, jm_err *err);

/* Each writes the data of a plot and returns how much there is to draw. */
size_t jm_plot_latency(FILE *f, const struct jm_plot_job *j);
size_t jm_plot_throughput(FILE *f, const struct jm_plot_job *j);
size_t jm_plot_quality_speed(FILE *f, const struct jm_plot_job *j);
size_t jm_plot_quality_energy(FILE *f, const struct jm_plot_job *j);
size_t jm_plot_quality_size(FILE *f, const struct jm_plot_job *j);
size_t jm_plot_comparison(FILE *f, const struct jm_plot_job *j);
size_t jm_plot_threads(FILE *f, const struct jm_plot_job *j);
size_t jm_plot_peak(FILE *f, const struct jm_plot_job *j);
size_t jm_plot_power(FILE *f, const struct jm_plot_job *j);

/* What some scripts need to know beside the data: names of axes; titles of panels in quotes, each
 * with its number of series. Valid until the next call. */
const char *jm_plot_quality_speed_axis(const struct jm_plot_job *j);
const char *jm_plot_quality_energy_axis(const struct jm_plot_job *j);
const char *jm_plot_quality_size_axis(const struct jm_plot_job *j);
const char *jm_plot_peak_axis(const struct jm_plot_job *j);
const char *jm_plot_power_panels(const struct jm_plot_job *j);

#endif
