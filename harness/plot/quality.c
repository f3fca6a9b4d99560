/* SPDX-License-Identifier: Apache-2.0 */
/* Quality against speed or energy, and the Pareto front: the runs that no other of their scenario
 * beats in both. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"

struct point {
    double x, quality;
};

static int by_x(const void *a, const void *b)
{
    return jm_plot_by_value(&((const struct point *)a)->x, &((const struct point *)b)->x);
}

static bool point_at(const struct jm_table *t, size_t r, const char *column, const char *scenario,
                     struct point *p)
{
    *p = (struct point){ .x = jm_table_number(t, r, column),
                         .quality = jm_table_number(t, r, "quality_value") };
    return isfinite(p->x) && isfinite(p->quality) &&
           strcmp(jm_table_text(t, r, "scenario"), scenario) == 0;
}

/* The points that no other beats in both: from the best x on, each that is better than all before
 * it. A front of one point is no line. */
static void write_front(FILE *f, const struct jm_table *t, const char *column, const char *scenario,
                        bool higher)
{
    struct point *p = calloc(t->rows, sizeof *p);
    size_t n = 0, shown = 0;
    double best = -INFINITY;
    for (size_t r = 1; p && r < t->rows; r++)
        n += point_at(t, r, column, scenario, &p[n]);
    if (n > 1)
        qsort(p, n, sizeof *p, by_x);
    for (size_t i = 0; i < n; i++) {
        const struct point *q = &p[higher ? n - 1 - i : i];
        if (!(q->quality > best))
            continue;
        best = q->quality;
        fprintf(f, "%.9g %.9g \"\"\n", q->x, q->quality);
        shown++;
    }
    fputs(shown ? "" : "? ? \"\"\n", f);
    free(p);
}

/* A mean of the same values taken more often may differ in its last digits. */
static bool alike(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(a);
}

/* Whether the same point with the same label stands in the other scenario: one label is enough. */
static bool has_twin(const struct jm_table *t, const char *column, const char *scenario,
                     const struct point *p, const char *label)
{
    char other[JM_PLOT_LABEL];
    struct point q;
    for (size_t r = 1; r < t->rows; r++) {
        if (!point_at(t, r, column, scenario, &q) || !alike(q.x, p->x) ||
            !alike(q.quality, p->quality))
            continue;
        jm_plot_label(t, r, other);
        if (strcmp(other, label) == 0)
            return true;
    }
    return false;
}

/* Two blocks of points, single-stream and offline, and two of their fronts; an empty one holds a
 * point that is missing, so that the blocks keep their numbers. */
static size_t data_quality(FILE *f, const struct jm_plot_job *j, const char *column, bool higher)
{
    static const char *const scenario[] = { "single-stream", "offline" };
    size_t points = 0;
    char label[JM_PLOT_LABEL];
    struct point p;

    for (int block = 0; block < 2; block++) {
        size_t before = points;
        for (size_t r = 1; r < j->t->rows; r++) {
            if (!point_at(j->t, r, column, scenario[block], &p))
                continue;
            jm_plot_label(j->t, r, label);
            if (!jm_plot_first(j->t, r, "threads") || /* repeats would write over each other */
                (block && has_twin(j->t, column, scenario[0], &p, label)))
                label[0] = '\0';
            fprintf(f, "%.9g %.9g \"%s\"\n", p.x, p.quality, label);
            points++;
        }
        fputs(points == before ? "? ? \"\"\n\n\n" : "\n\n", f);
    }
    for (int block = 0; block < 2; block++) {
        write_front(f, j->t, column, scenario[block], higher);
        fputs(block ? "" : "\n\n", f);
    }
    return points;
}

size_t jm_plot_quality_speed(FILE *f, const struct jm_plot_job *j)
{
    return data_quality(f, j, jm_plot_rate(j->t), true);
}

size_t jm_plot_quality_energy(FILE *f, const struct jm_plot_job *j)
{
    return data_quality(f, j, "energy_j_per_query", false);
}

size_t jm_plot_quality_size(FILE *f, const struct jm_plot_job *j)
{
    return data_quality(f, j, "model_bytes", false);
}
