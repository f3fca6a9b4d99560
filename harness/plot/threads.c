/* SPDX-License-Identifier: Apache-2.0 */
/* Throughput by threads: a line for each setting that ran with several numbers of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"
#include "harness/stats/bootstrap.h"

struct place {
    double threads;
    size_t row;
};

static int by_threads(const void *a, const void *b)
{
    return jm_plot_by_value(&((const struct place *)a)->threads,
                            &((const struct place *)b)->threads);
}

/* "threads median low high": the interval of a median is that of its ratio to ones. */
static void write_point(FILE *f, const struct jm_table *t, const struct place *p, double *v)
{
    const struct jm_bootstrap how = { .paired = true, .level = 0.95, .resamples = 5000, .seed = 1 };
    struct jm_ratio median;
    double *ones = v + t->rows;
    size_t n = jm_plot_speeds(t, p->row, "threads", v);
    for (size_t i = 0; i < n; i++)
        ones[i] = 1.0;
    if (n == 0 || jm_ratio_interval(ones, n, v, n, &how, &median, NULL) != JM_OK)
        return;
    fprintf(f, "%.9g %.9g", p->threads, median.value);
    if (isfinite(median.low))
        fprintf(f, " %.9g %.9g\n", median.low, median.high);
    else
        fputs(" ? ?\n", f);
}

size_t jm_plot_threads(FILE *f, const struct jm_plot_job *j)
{
    const struct jm_table *t = j->t;
    struct place *p = calloc(t->rows, sizeof *p);
    double *v = calloc(2 * t->rows, sizeof *v);
    size_t series = 0;
    char label[JM_PLOT_LABEL];
    for (size_t r = 1; p && v && r < t->rows && series < JM_PLOT_MOST; r++) {
        size_t n = 0;
        if (!jm_plot_first(t, r, NULL))
            continue;
        for (size_t q = r; q < t->rows; q++) {
            double threads = jm_table_number(t, q, "threads");
            if (isfinite(threads) && jm_plot_alike(t, q, r, NULL) && jm_plot_first(t, q, "threads"))
                p[n++] = (struct place){ .threads = threads, .row = q };
        }
        if (n < 2)
            continue;
        qsort(p, n, sizeof *p, by_threads);
        jm_plot_label(t, r, label);
        fprintf(f, "%s\"%s %.20s\"\n", series ? "\n\n" : "", label,
                jm_table_text(t, r, "scenario"));
        for (size_t i = 0; i < n; i++)
            write_point(f, t, &p[i], v);
        series++;
    }
    free(p);
    free(v);
    return series;
}
