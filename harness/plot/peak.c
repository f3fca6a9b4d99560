/* SPDX-License-Identifier: Apache-2.0 */
/* Throughput against a bound on latency: the windows that a search for the highest rate tried, each
 * at the 99th percentile that it kept. A bound anywhere on the axis allows the highest rate of the
 * windows before it: the line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"

/* What may be bounded: its columns in the results and in peak.csv. */
static const struct kind {
    const char *bound, *seen, *axis;
} kinds[] = {
    { "bound_latency_ms", "latency_p99_ms", "99th percentile of latency (ms, logarithmic)" },
    { "bound_ttft_ms", "ttft_p99_ms", "99th percentile to the first token (ms, logarithmic)" },
    { "bound_tpot_ms", "tpot_p99_ms", "99th percentile of time a token (ms, logarithmic)" },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct window {
    double ms, rate;
    bool valid;
};

static int by_time(const void *a, const void *b)
{
    return jm_plot_by_value(&((const struct window *)a)->ms, &((const struct window *)b)->ms);
}

static bool searched(const struct jm_table *t, size_t r)
{
    return isfinite(jm_table_number(t, r, "peak_probes"));
}

/* The bound that the first search came closest to in its result: the one that limits. */
static const struct kind *limiting(const struct jm_table *t)
{
    const struct kind *best = NULL;
    double most = -INFINITY;
    for (size_t r = 1; r < t->rows && !best; r++)
        for (size_t k = 0; k < KINDS && searched(t, r); k++) {
            double share =
                jm_table_number(t, r, kinds[k].seen) / jm_table_number(t, r, kinds[k].bound);
            if (share > most) {
                most = share;
                best = &kinds[k];
            }
        }
    return best;
}

const char *jm_plot_peak_axis(const struct jm_plot_job *j)
{
    const struct kind *k = limiting(j->t);
    return k ? k->axis : "";
}

/* The rate that a window of full length confirmed: at higher ones short windows are too short to
 * tell. Without such a window, all count. */
static double confirmed(const struct jm_table *peak)
{
    for (size_t i = 1; i < peak->rows; i++)
        if (strcmp(jm_table_text(peak, i, "kind"), "confirmation") == 0 &&
            strcmp(jm_table_text(peak, i, "valid"), "yes") == 0)
            return jm_table_number(peak, i, "target_qps");
    return INFINITY;
}

static size_t read_windows(const struct jm_table *peak, const struct kind *k, struct window *w)
{
    const double most = confirmed(peak);
    size_t n = 0;
    for (size_t i = 1; i < peak->rows; i++) {
        struct window one = { .ms = jm_table_number(peak, i, k->seen),
                              .rate = jm_table_number(peak, i, "target_qps"),
                              .valid = strcmp(jm_table_text(peak, i, "valid"), "yes") == 0 };
        one.valid = one.valid && one.rate <= most;
        if (one.ms > 0.0 && one.rate > 0.0)
            w[n++] = one;
    }
    if (n > 1)
        qsort(w, n, sizeof *w, by_time);
    return n;
}

/* A block of the windows that kept their bounds, or that did not: time, rate, and the highest rate
 * so far, which goes on to the bound. */
static void write_block(FILE *f, const char *label, const struct window *w, size_t n, bool valid,
                        double bound_ms)
{
    double most = 0.0, last_ms = 0.0;
    fprintf(f, "\n\n\"%s\"\n? ? ?\n", label);
    for (size_t i = 0; i < n; i++) {
        if (w[i].valid != valid)
            continue;
        most = fmax(most, w[i].rate);
        last_ms = w[i].ms;
        fprintf(f, "%.9g %.9g %.9g\n", w[i].ms, w[i].rate, most);
    }
    if (valid && most > 0.0 && last_ms < bound_ms)
        fprintf(f, "%.9g ? %.9g\n", bound_ms, most);
}

static bool write_run(FILE *f, const struct jm_plot_job *j, size_t r, const struct kind *k)
{
    struct jm_table peak;
    char label[JM_PLOT_LABEL];
    if (!searched(j->t, r) || jm_plot_file(j, r, "peak.csv", &peak, NULL) != JM_OK)
        return false;
    struct window *w = calloc(peak.rows, sizeof *w);
    size_t n = w ? read_windows(&peak, k, w) : 0;
    double bound_ms = jm_table_number(j->t, r, k->bound);
    jm_plot_label(j->t, r, label);
    for (int valid = 1; valid >= 0 && n > 0; valid--)
        write_block(f, label, w, n, valid != 0, bound_ms);
    free(w);
    jm_table_free(&peak);
    return n > 0;
}

size_t jm_plot_peak(FILE *f, const struct jm_plot_job *j)
{
    const struct kind *k = limiting(j->t);
    size_t runs = 0;
    if (!k)
        return 0;
    for (size_t r = 1; r < j->t->rows; r++)
        if (searched(j->t, r) && jm_table_number(j->t, r, k->bound) > 0.0)
            fprintf(f, "%.9g\n", jm_table_number(j->t, r, k->bound));
    for (size_t r = 1; r < j->t->rows && runs < JM_PLOT_MOST; r++)
        runs += jm_plot_first(j->t, r, NULL) && write_run(f, j, r, k);
    return runs;
}
