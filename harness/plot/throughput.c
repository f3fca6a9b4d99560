/* SPDX-License-Identifier: Apache-2.0 */
/* Throughput by weight format: medians of single-stream and offline runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"

/* Median of a column over the rows with this label and scenario; NAN where there is none. */
static double median_of(const struct jm_table *t, const char *label, const char *scenario)
{
    double *v = calloc(t->rows, sizeof *v), median = NAN;
    size_t n = 0;
    char other[JM_PLOT_LABEL];

    for (size_t r = 1; v && r < t->rows; r++) {
        jm_plot_label(t, r, other);
        double x = jm_table_number(t, r, jm_plot_rate(t));
        if (isfinite(x) && strcmp(other, label) == 0 &&
            strcmp(jm_table_text(t, r, "scenario"), scenario) == 0)
            v[n++] = x;
    }
    if (n > 0) {
        qsort(v, n, sizeof *v, jm_plot_by_value);
        median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2.0;
    }
    free(v);
    return median;
}

size_t jm_plot_throughput(FILE *f, const struct jm_plot_job *j)
{
    static const char *const scenario[] = { "single-stream", "offline" };
    size_t bars = 0;
    char label[JM_PLOT_LABEL], other[JM_PLOT_LABEL];

    for (size_t r = 1; r < j->t->rows; r++) {
        bool seen = false, any = false;
        char cell[2][32] = { "?", "?" };
        jm_plot_label(j->t, r, label);
        for (size_t q = 1; q < r && !seen; q++) {
            jm_plot_label(j->t, q, other);
            seen = strcmp(label, other) == 0;
        }
        for (size_t k = 0; k < 2 && !seen; k++) {
            double v = median_of(j->t, label, scenario[k]);
            if (!isfinite(v))
                continue;
            snprintf(cell[k], sizeof cell[k], "%.9g", v);
            any = true;
        }
        if (any) {
            fprintf(f, "\"%s\" %s %s\n", label, cell[0], cell[1]);
            bars++;
        }
    }
    return bars;
}
