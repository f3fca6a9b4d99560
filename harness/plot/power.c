/* SPDX-License-Identifier: Apache-2.0 */
/* Power over time with the phases of a run, a panel a run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plot/plot.h"

enum { PANELS = 3, SERIES = 6, POINTS = 1500 };

static const char *const phases[] = { "idle", "warmup", "measured", "cooldown" };
enum { PHASES = sizeof phases / sizeof phases[0] };

/* "source domain" of a row of power.csv. */
static void name_of(const struct jm_table *p, size_t i, char out[JM_PLOT_LABEL])
{
    (void)snprintf(out, JM_PLOT_LABEL, "%.30s %.50s", jm_table_text(p, i, "source"),
                   jm_table_text(p, i, "domain"));
    jm_plot_clean(out);
}

/* The rows of power.csv that are the first of their series; how many. */
static size_t find_series(const struct jm_table *p, size_t first[SERIES])
{
    char mine[JM_PLOT_LABEL], other[JM_PLOT_LABEL];
    size_t n = 0;
    for (size_t i = 1; i < p->rows && n < SERIES; i++) {
        bool seen = false;
        name_of(p, i, mine);
        for (size_t k = 0; k < n && !seen; k++) {
            name_of(p, first[k], other);
            seen = strcmp(mine, other) == 0;
        }
        if (!seen)
            first[n++] = i;
    }
    return n;
}

/* Lines of start, end and number of a phase. */
static void write_phases(FILE *f, const struct jm_table *p)
{
    for (size_t k = 0; k < PHASES; k++) {
        double from = INFINITY, to = -INFINITY, before = NAN;
        for (size_t i = 1; i < p->rows; i++) {
            double t = jm_table_number(p, i, "time_s");
            if (strcmp(jm_table_text(p, i, "phase"), phases[k]) == 0) {
                /* A row tells of the time since the one before it. */
                from = fmin(from, before < t ? before : t);
                to = fmax(to, t);
            }
            before = isnan(before) || t > before ? t : before;
        }
        if (to > from)
            fprintf(f, "%.9g %.9g %zu\n", from, to, k);
    }
}

/* Lines of time and mean power since the line before; of a long run some rows are joined. */
static void write_series(FILE *f, const struct jm_table *p, size_t first)
{
    char mine[JM_PLOT_LABEL], other[JM_PLOT_LABEL];
    size_t n = 0, at = 0;
    double t0 = NAN, j0 = NAN;
    name_of(p, first, mine);
    for (size_t i = first; i < p->rows; i++) {
        name_of(p, i, other);
        n += strcmp(mine, other) == 0;
    }
    size_t join = n / POINTS + 1;
    fprintf(f, "\n\n\"%s\"\n", mine);
    for (size_t i = first; i < p->rows; i++) {
        double t = jm_table_number(p, i, "time_s"), joules = jm_table_number(p, i, "energy_j");
        name_of(p, i, other);
        if (strcmp(mine, other) != 0 || at++ % join != 0)
            continue;
        double w =
            isnan(t0) || !(t > t0) ? jm_table_number(p, i, "power_w") : (joules - j0) / (t - t0);
        if (isfinite(t) && isfinite(w))
            fprintf(f, "%.9g %.9g\n", t, w);
        t0 = t;
        j0 = joules;
    }
}

/* Runs that are drawn: the first of each label and scenario. panel: called for each; sums up. */
static size_t each_panel(const struct jm_plot_job *j,
                         size_t (*panel)(const struct jm_plot_job *j, size_t r,
                                         const struct jm_table *p, void *user),
                         void *user)
{
    size_t n = 0;
    for (size_t r = 1; r < j->t->rows && n < PANELS; r++) {
        struct jm_table p;
        if (!jm_plot_first(j->t, r, NULL) || jm_plot_file(j, r, "power.csv", &p, NULL) != JM_OK)
            continue;
        n += panel(j, r, &p, user);
        jm_table_free(&p);
    }
    return n;
}

static size_t write_panel(const struct jm_plot_job *j, size_t r, const struct jm_table *p,
                          void *user)
{
    size_t first[SERIES], n = find_series(p, first);
    FILE *f = user;
    (void)j;
    (void)r;
    if (n == 0)
        return 0;
    fputs("\n\n", f);
    write_phases(f, p);
    for (size_t k = 0; k < n; k++)
        write_series(f, p, first[k]);
    return 1;
}

size_t jm_plot_power(FILE *f, const struct jm_plot_job *j)
{
    fputs("? ?\n", f);
    return each_panel(j, write_panel, f);
}

struct text {
    char *at;
    size_t room;
};

static size_t name_panel(const struct jm_plot_job *j, size_t r, const struct jm_table *p,
                         void *user)
{
    size_t first[SERIES], n = find_series(p, first);
    struct text *out = user;
    char label[JM_PLOT_LABEL];
    if (n == 0)
        return 0;
    jm_plot_label(j->t, r, label);
    int used = snprintf(out->at, out->room, "\"%s %.20s\" %zu ", label,
                        jm_table_text(j->t, r, "scenario"), n);
    if (used > 0 && (size_t)used < out->room) {
        out->at += used;
        out->room -= (size_t)used;
    }
    return 1;
}

const char *jm_plot_power_panels(const struct jm_plot_job *j)
{
    static char text[PANELS * (JM_PLOT_LABEL + 40)];
    struct text out = { .at = text, .room = sizeof text };
    text[0] = '\0';
    each_panel(j, name_panel, &out);
    return text;
}
