/* SPDX-License-Identifier: Apache-2.0 */
/* Settings compared: each one's throughput over that of the first of its scenario. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"
#include "harness/stats/bootstrap.h"

static void write_number(FILE *f, double v)
{
    if (isfinite(v))
        fprintf(f, " %.9g", v);
    else
        fputs(" ?", f);
}

/* The place of r's label among the labels, from 0. */
static size_t place_of(const struct jm_table *t, size_t r)
{
    char mine[JM_PLOT_LABEL], other[JM_PLOT_LABEL];
    size_t place = 0;
    jm_plot_label(t, r, mine);
    for (size_t q = 1; q < t->rows; q++) {
        bool first = *jm_table_text(t, q, "status") != '\0';
        jm_plot_label(t, q, other);
        if (strcmp(mine, other) == 0)
            break;
        for (size_t k = 1; k < q && first; k++) {
            char before[JM_PLOT_LABEL];
            jm_plot_label(t, k, before);
            first = strcmp(before, other) != 0;
        }
        place += first;
    }
    return place;
}

/* One block: place, ratio, low, high, label. Returns the bars. */
static size_t write_scenario(FILE *f, const struct jm_table *t, const char *scenario, double *v)
{
    const struct jm_bootstrap how = { .level = 0.95, .resamples = 5000, .seed = 1 };
    double *base = v, *mine = v + t->rows;
    size_t n_base = 0, bars = 0;
    char label[JM_PLOT_LABEL];
    for (size_t r = 1; r < t->rows && bars < JM_PLOT_MOST; r++) {
        struct jm_ratio ratio;
        if (strcmp(jm_table_text(t, r, "scenario"), scenario) != 0 || !jm_plot_first(t, r, NULL))
            continue;
        size_t n = jm_plot_speeds(t, r, "threads", mine);
        bool is_base = n_base == 0;
        if (is_base)
            n_base = jm_plot_speeds(t, r, "threads", base);
        if (n == 0 || jm_ratio_interval(base, n_base, mine, n, &how, &ratio, NULL) != JM_OK)
            continue;
        jm_plot_label(t, r, label);
        fprintf(f, "%zu %.9g", place_of(t, r), ratio.value);
        write_number(f, is_base ? NAN : ratio.low);
        write_number(f, is_base ? NAN : ratio.high);
        fprintf(f, " \"%s\"\n", label);
        bars++;
    }
    fputs(bars ? "" : "-1 ? ? ? \"\"\n", f);
    return bars;
}

size_t jm_plot_comparison(FILE *f, const struct jm_plot_job *j)
{
    double *v = calloc(2 * j->t->rows, sizeof *v);
    if (!v)
        return 0;
    size_t single = write_scenario(f, j->t, "single-stream", v);
    fputs("\n\n", f);
    size_t offline = write_scenario(f, j->t, "offline", v);
    free(v);
    return single > 1 || offline > 1 ? single + offline : 0;
}
