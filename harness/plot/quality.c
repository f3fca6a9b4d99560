/* SPDX-License-Identifier: Apache-2.0 */
/* Quality against speed, size or energy, and the Pareto front: the runs that no other of their
 * scenario beats in both. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"

enum { SETTINGS = 28 }; /* as many as quality.gp can tell apart */

static const char *const scenario[] = { "single-stream", "offline" };

struct axis {
    const char *column;
    double unit; /* of the plot, in that of the column */
    bool higher; /* is better */
};

struct point {
    double x, quality;
};

static int by_x(const void *a, const void *b)
{
    return jm_plot_by_value(&((const struct point *)a)->x, &((const struct point *)b)->x);
}

static bool point_at(const struct jm_table *t, size_t r, const struct axis *x, const char *within,
                     struct point *p)
{
    *p = (struct point){ .x = jm_table_number(t, r, x->column) / x->unit,
                         .quality = jm_table_number(t, r, "quality_value") };
    return isfinite(p->x) && isfinite(p->quality) &&
           strcmp(jm_table_text(t, r, "scenario"), within) == 0;
}

/* The scenario, empty where it has no points, then those points, x and quality, that no other beats
 * in both: from the best x on, each that is better than all before it. A front of one point is no
 * line. */
static void write_front(FILE *f, const struct jm_table *t, const struct axis *x, const char *within)
{
    struct point *p = calloc(t->rows, sizeof *p);
    size_t n = 0, shown = 0;
    double best = -INFINITY;
    for (size_t r = 1; p && r < t->rows; r++)
        n += point_at(t, r, x, within, &p[n]);
    if (n > 1)
        qsort(p, n, sizeof *p, by_x);
    fprintf(f, "\"%s\"\n", n > 0 ? within : "");
    for (size_t i = 0; i < n; i++) {
        const struct point *q = &p[x->higher ? n - 1 - i : i];
        if (!(q->quality > best))
            continue;
        best = q->quality;
        fprintf(f, "%.9g %.9g\n", q->x, q->quality);
        shown++;
    }
    fputs(shown ? "" : "? ?\n", f);
    free(p);
}

/* The points of all runs with the label of run r; f NULL: they are counted only. */
static size_t write_points(FILE *f, const struct jm_table *t, const struct axis *x, size_t r,
                           const char *within)
{
    char label[JM_PLOT_LABEL], other[JM_PLOT_LABEL];
    struct point p;
    size_t n = 0;
    jm_plot_label(t, r, label);
    for (size_t q = r; q < t->rows; q++) {
        jm_plot_label(t, q, other);
        if (strcmp(label, other) != 0 || !point_at(t, q, x, within, &p))
            continue;
        if (f)
            fprintf(f, "%.9g %.9g\n", p.x, p.quality);
        n++;
    }
    return n;
}

/* The label of run r, empty where its runs have no points, and the points of one scenario. */
static size_t write_setting(FILE *f, const struct jm_table *t, const struct axis *x, size_t r,
                            int s)
{
    char label[JM_PLOT_LABEL];
    bool drawn =
        write_points(NULL, t, x, r, scenario[0]) + write_points(NULL, t, x, r, scenario[1]) > 0;
    jm_plot_label(t, r, label);
    fprintf(f, "\n\n\"%s\"\n? ?\n", drawn ? label : "");
    return write_points(f, t, x, r, scenario[s]);
}

/* Whether run r is the first with its label; the plot says of each setting once what it is. */
static bool opens_setting(const struct jm_table *t, size_t r)
{
    char label[JM_PLOT_LABEL], other[JM_PLOT_LABEL];
    jm_plot_label(t, r, label);
    for (size_t q = 1; q < r; q++) {
        jm_plot_label(t, q, other);
        if (*jm_table_text(t, q, "status") && strcmp(label, other) == 0)
            return false;
    }
    return *jm_table_text(t, r, "status") != '\0';
}

/* The fronts of both scenarios, then the points of each setting in both. */
static size_t data_quality(FILE *f, const struct jm_plot_job *j, const struct axis *x)
{
    size_t points = 0;
    write_front(f, j->t, x, scenario[0]);
    fputs("\n\n", f);
    write_front(f, j->t, x, scenario[1]);
    for (size_t r = 1, shown = 0; r < j->t->rows && shown < SETTINGS; r++) {
        if (!opens_setting(j->t, r))
            continue;
        for (int s = 0; s < 2; s++)
            points += write_setting(f, j->t, x, r, s);
        shown++;
    }
    return points;
}

size_t jm_plot_quality_speed(FILE *f, const struct jm_plot_job *j)
{
    const struct axis x = { .column = jm_plot_rate(j->t), .unit = 1.0, .higher = true };
    return data_quality(f, j, &x);
}

size_t jm_plot_quality_energy(FILE *f, const struct jm_plot_job *j)
{
    const struct axis x = { .column = "energy_j_per_query", .unit = 1.0 };
    return data_quality(f, j, &x);
}

size_t jm_plot_quality_size(FILE *f, const struct jm_plot_job *j)
{
    const struct axis x = { .column = "model_bytes", .unit = 1e6 };
    return data_quality(f, j, &x);
}

const char *jm_plot_quality_speed_axis(const struct jm_plot_job *j)
{
    return jm_plot_rate_name(j->t);
}

const char *jm_plot_quality_energy_axis(const struct jm_plot_job *j)
{
    (void)j;
    return "energy of a query (J)";
}

const char *jm_plot_quality_size_axis(const struct jm_plot_job *j)
{
    (void)j;
    return "model file (MB)";
}
