/* SPDX-License-Identifier: Apache-2.0 */
/* Latency distribution: the sorted latencies of each setting, its repeats together. */
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"

/* Latencies of a run, in milliseconds, added to v [*n]. */
static bool add_latencies(const struct jm_plot_job *j, size_t r, double **v, size_t *n)
{
    struct jm_table s;
    if (jm_plot_file(j, r, "samples.csv", &s, NULL) != JM_OK)
        return true; /* a run without a folder has none */
    double *more = realloc(*v, (*n + s.rows) * sizeof **v);
    if (more)
        *v = more;
    for (size_t i = 1; more && i < s.rows; i++) {
        double ms = (jm_table_number(&s, i, "done_ns") - jm_table_number(&s, i, "issue_ns")) / 1e6;
        if (ms > 0.0)
            more[(*n)++] = ms;
    }
    jm_table_free(&s);
    return more != NULL;
}

/* Writes one block: the name of r's setting, then the sorted latencies of all its runs with their
 * share. Returns false when there are none. */
static bool write_latency(FILE *f, const struct jm_plot_job *j, size_t r, bool first)
{
    char label[JM_PLOT_LABEL];
    double *ms = NULL;
    size_t n = 0;
    bool room = true;

    for (size_t q = r; room && q < j->t->rows; q++)
        if (jm_plot_alike(j->t, q, r, NULL))
            room = add_latencies(j, q, &ms, &n);
    if (n > 0) {
        qsort(ms, n, sizeof *ms, jm_plot_by_value);
        jm_plot_label(j->t, r, label);
        fprintf(f, "%s\"%s %.20s\"\n", first ? "" : "\n\n", label,
                jm_table_text(j->t, r, "scenario"));
        for (size_t i = 0; i < n; i++)
            fprintf(f, "%.9g %.9g\n", ms[i], (double)(i + 1) / (double)n);
    }
    free(ms);
    return n > 0;
}

/* Offline issues all queries at once: its latencies say nothing about a query. */
size_t jm_plot_latency(FILE *f, const struct jm_plot_job *j)
{
    size_t runs = 0;

    for (size_t r = 1; r < j->t->rows && runs < JM_PLOT_MOST; r++)
        if (strcmp(jm_table_text(j->t, r, "scenario"), "offline") != 0 &&
            jm_plot_first(j->t, r, NULL) && write_latency(f, j, r, runs == 0))
            runs++;
    return runs;
}
