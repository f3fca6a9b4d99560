/* SPDX-License-Identifier: Apache-2.0 */
/* Latency distribution: the sorted latencies of each run. */
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"

/* Writes one block: name, then sorted latencies with their share. Returns false when none. */
static bool write_latency(FILE *f, const struct jm_plot_job *j, size_t r, bool first)
{
    struct jm_table s;
    char label[JM_PLOT_LABEL];
    size_t n = 0;

    if (!*jm_table_text(j->t, r, "record_dir") ||
        jm_plot_file(j, r, "samples.csv", &s, NULL) != JM_OK)
        return false;
    double *ms = calloc(s.rows, sizeof *ms);
    for (size_t i = 1; ms && i < s.rows; i++) {
        double v = (jm_table_number(&s, i, "done_ns") - jm_table_number(&s, i, "issue_ns")) / 1e6;
        if (v > 0.0)
            ms[n++] = v;
    }
    if (n > 0) {
        qsort(ms, n, sizeof *ms, jm_plot_by_value);
        jm_plot_label(j->t, r, label);
        fprintf(f, "%s\"%s %.20s\"\n", first ? "" : "\n\n", label,
                jm_table_text(j->t, r, "scenario"));
        for (size_t i = 0; i < n; i++)
            fprintf(f, "%.9g %.9g\n", ms[i], (double)(i + 1) / (double)n);
    }
    free(ms);
    jm_table_free(&s);
    return n > 0;
}

/* Offline issues all queries at once: its latencies say nothing about a query. */
size_t jm_plot_latency(FILE *f, const struct jm_plot_job *j)
{
    size_t runs = 0;

    for (size_t r = 1; r < j->t->rows && runs < JM_PLOT_MOST; r++)
        if (strcmp(jm_table_text(j->t, r, "scenario"), "offline") != 0 &&
            write_latency(f, j, r, runs == 0))
            runs++;
    return runs;
}
