/* SPDX-License-Identifier: Apache-2.0 */
/* Roofs as lines and operations as points, for plots/roofline.gp. Points of moves, which calculate
 * nothing, have no place on logarithmic axes. */
#include "harness/plot/roofline.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "harness/plot/gnuplot.h"
#include "harness/plot/plot.h"
#include "harness/plot/scratch.h"
#include "harness/roofline/print.h"

/* Shares of a run's time from which a series is drawn, and of its own from which a point is. */
static const double SERIES_SHARE = 0.05, POINT_SHARE = 0.01, LABEL_SHARE = 0.06;

/* The axes: operations a byte, and 10^9 operations a second. */
struct frame {
    double x0, x1, y0, y1;
};

static bool drawn(const struct jm_spot *s, double wall_s)
{
    return s->operations > 0 && s->bytes > 0 && s->seconds >= POINT_SHARE * wall_s;
}

/* Roofs of all threads that could be measured. */
static bool shown(const struct jm_roofline *r, const struct jm_roof *roof)
{
    return roof->threads == r->device.threads && roof->per_s > 0;
}

static double run_wall_s(const struct jm_roofline_run *run)
{
    double wall_s = 0;
    for (size_t c = 0; c < run->n_classes; c++)
        wall_s += jm_roofline_wall_s(&run->class[c].batches);
    return wall_s;
}

static bool has_series(const struct jm_roofline_run *run, size_t c)
{
    double wall_s = jm_roofline_wall_s(&run->class[c].batches);
    for (size_t k = 0; wall_s >= SERIES_SHARE * run_wall_s(run) && k < run->class[c].n; k++) {
        if (drawn(&run->class[c].spot[k], wall_s))
            return true;
    }
    return false;
}

static struct frame frame_of(const struct jm_roofline *r)
{
    double best_read = 0, least_read = INFINITY, best_mul = 0;
    struct frame f = { .x0 = 0.5, .x1 = 8, .y0 = INFINITY };
    for (size_t i = 0; i < r->n_roofs; i++) {
        double v = r->roof[i].per_s * 1e-9;
        if (!shown(r, &r->roof[i]))
            continue;
        if (r->roof[i].kind == JM_ROOF_READ) {
            best_read = fmax(best_read, v);
            least_read = fmin(least_read, v);
        } else {
            best_mul = fmax(best_mul, v);
        }
    }
    for (size_t i = 0; i < r->n_runs; i++) {
        for (size_t c = 0; c < r->run[i].n_classes; c++) {
            const struct jm_spots *s = &r->run[i].class[c];
            for (size_t k = 0; has_series(&r->run[i], c) && k < s->n; k++) {
                if (!drawn(&s->spot[k], jm_roofline_wall_s(&s->batches)))
                    continue;
                f.x0 = fmin(f.x0, s->spot[k].intensity);
                f.x1 = fmax(f.x1, s->spot[k].intensity);
                f.y0 = fmin(f.y0, s->spot[k].ops_per_s * 1e-9);
            }
        }
    }
    if (best_mul > 0 && isfinite(least_read))
        f.x1 = fmax(f.x1, best_mul / least_read); /* where memory's roof ends */
    if (isinf(f.y0))
        f.y0 = f.x0 * least_read;
    f.x0 /= 4; /* room for labels */
    f.x1 *= 8;
    f.y0 = fmin(f.y0, f.x0 * least_read) / 8; /* room for the legend */
    f.y1 = fmax(best_mul, f.y0) * 3;
    return f;
}

/* A block a roof: two ends. Slopes end below the highest of the flat ones, and those begin at the
 * steepest slope. */
static size_t write_roofs(FILE *f, const struct jm_roofline *r, const struct frame *a)
{
    double best_read = 0, best_mul = 0;
    size_t n = 0;
    for (size_t i = 0; i < r->n_roofs; i++) {
        double *best = r->roof[i].kind == JM_ROOF_READ ? &best_read : &best_mul;
        if (shown(r, &r->roof[i]))
            *best = fmax(*best, r->roof[i].per_s * 1e-9);
    }
    for (size_t i = 0; i < r->n_roofs; i++) {
        double v = r->roof[i].per_s * 1e-9;
        if (!shown(r, &r->roof[i]))
            continue;
        if (r->roof[i].kind == JM_ROOF_READ)
            fprintf(f, "%.6g %.6g\n%.6g %.6g\n\n\n", a->x0, a->x0 * v, best_mul / v, best_mul);
        else
            fprintf(f, "%.6g %.6g\n%.6g %.6g\n\n\n", v / best_read, v, a->x1, v);
        n++;
    }
    return n;
}

/* Whether roof k is so near to roof i, and of its kind, that they share a label. */
static bool shares_label(const struct jm_roofline *r, size_t i, size_t k)
{
    const struct jm_roof *a = &r->roof[i], *b = &r->roof[k];
    return shown(r, a) && shown(r, b) && (a->kind == JM_ROOF_READ) == (b->kind == JM_ROOF_READ) &&
           fabs(log(a->per_s / b->per_s)) < 0.35;
}

/* The roof that bears roof k's name: the first near it that bears its own. Nearness alone names a
 * roof that lies between two others with both. */
static size_t bearer(const struct jm_roofline *r, size_t k)
{
    for (size_t i = 0; i < k; i++)
        if (shares_label(r, i, k) && bearer(r, i) == i)
            return i;
    return k;
}

/* "INT16 882, BF16 879", and the highest of them in 10^9 a second; "": another one bears it. */
static double roof_label(const struct jm_roofline *r, size_t i, char out[160])
{
    double most = 0;
    out[0] = '\0';
    for (size_t k = i; k < r->n_roofs; k++) {
        if (!shown(r, &r->roof[k]) || bearer(r, k) != i)
            continue;
        size_t n = strlen(out);
        double v = r->roof[k].per_s * 1e-9;
        snprintf(out + n, 160 - n, v < 100 ? "%s%s %.3g" : "%s%s %.0f", n ? ", " : "",
                 r->roof[k].name, v);
        most = fmax(most, v);
    }
    return most;
}

/* Names of the slopes, at their left ends; then of the flat roofs, at their right ends. */
static void write_roof_labels(FILE *f, const struct jm_roofline *r, const struct frame *a)
{
    char label[160];
    for (int read = 1; read >= 0; read--) {
        for (size_t i = 0; i < r->n_roofs; i++) {
            if ((r->roof[i].kind == JM_ROOF_READ) != (read == 1))
                continue;
            double v = roof_label(r, i, label), x = fmax(a->x0, a->y0 / v) * 1.2;
            if (label[0] && read)
                fprintf(f, "%.6g %.6g \"%s GB/s\"\n", x, x * v, label);
            else if (label[0])
                fprintf(f, "%.6g %.6g \"%s GOP/s\"\n", a->x1 / 1.1, v, label);
        }
        fputs("\n\n", f);
    }
}

static const char *short_name(const struct jm_spot *s)
{
    return s->name[0] ? jm_spot_tail(s->name) : jm_op_name(s->op);
}

/* The points of all series that are labelled, in the order in which they are drawn. */
struct label {
    double x, y;
    const char *name;
};
enum { LABELS = 256, NAMES = 4 };

static size_t collect_labels(const struct jm_roofline *r, struct label *out)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_runs; i++) {
        for (size_t c = 0; c < r->run[i].n_classes; c++) {
            const struct jm_spots *s = &r->run[i].class[c];
            double wall_s = jm_roofline_wall_s(&s->batches);
            for (size_t k = 0; has_series(&r->run[i], c) && k < s->n && n < LABELS; k++) {
                if (drawn(&s->spot[k], wall_s) && s->spot[k].seconds >= LABEL_SHARE * wall_s)
                    out[n++] = (struct label){ .x = log10(s->spot[k].intensity),
                                               .y = log10(s->spot[k].ops_per_s * 1e-9),
                                               .name = short_name(&s->spot[k]) };
            }
        }
    }
    return n;
}

/* The names around point i, each once: those that come too near would write over each other. */
static void join_names(const struct label *all, size_t n, bool *done, size_t i, char *out,
                       size_t room)
{
    const char *used[NAMES];
    size_t names = 0, more = 0, at = 0;
    for (size_t k = i; k < n; k++) {
        bool seen = false;
        if (done[k] || fabs(all[k].x - all[i].x) > 0.35 || fabs(all[k].y - all[i].y) > 0.12)
            continue;
        done[k] = true;
        for (size_t u = 0; u < names && !seen; u++)
            seen = strcmp(used[u], all[k].name) == 0;
        if (seen)
            continue;
        if (names == NAMES) {
            more++;
            continue;
        }
        used[names] = all[k].name;
        at += (size_t)snprintf(out + at, room - at, "%s%.30s", names ? ", " : "", all[k].name);
        names++;
    }
    if (more > 0)
        snprintf(out + at, room - at, ", …");
    jm_plot_clean(out);
}

static void write_labels(FILE *f, const struct jm_roofline *r, const struct frame *a)
{
    struct label all[LABELS];
    bool done[LABELS] = { false };
    char names[NAMES * 34 + 8];
    size_t n = collect_labels(r, all);
    for (int right = 1; right >= 0; right--) {
        bool any = false;
        for (size_t i = 0; i < n; i++) {
            /* Those of the right half stand to the left of their points. */
            if (done[i] || (all[i].x > (log10(a->x0) + log10(a->x1)) / 2) != (right == 1))
                continue;
            join_names(all, n, done, i, names, sizeof names);
            fprintf(f, "%.6g %.6g \"%s\"\n", pow(10, all[i].x), pow(10, all[i].y), names);
            any = true;
        }
        fputs(any ? "\n\n" : "? ? \"\"\n\n\n", f);
    }
}

/* A block a series: its name, then points. Returns how many there are. */
static size_t write_points(FILE *f, const struct jm_roofline *r)
{
    size_t series = 0;
    for (size_t i = 0; i < r->n_runs; i++) {
        for (size_t c = 0; c < r->run[i].n_classes; c++) {
            const struct jm_spots *s = &r->run[i].class[c];
            double wall_s = jm_roofline_wall_s(&s->batches);
            double mean = (double)s->batches.rows / (double)s->batches.batches;
            if (!has_series(&r->run[i], c))
                continue;
            fprintf(f, "\"%s: %.3g row%s a batch, %.0f %% of its time\"\n", r->run[i].scenario,
                    mean, s->batches.rows == s->batches.batches ? "" : "s",
                    wall_s / run_wall_s(&r->run[i]) * 100);
            for (size_t k = 0; k < s->n; k++) {
                if (drawn(&s->spot[k], wall_s))
                    fprintf(f, "%.6g %.6g\n", s->spot[k].intensity, s->spot[k].ops_per_s * 1e-9);
            }
            fputs("\n\n", f);
            series++;
        }
    }
    return series;
}

/* The data file; *roofs and *series are the blocks of each. */
static jm_status write_data(const struct jm_roofline *r, const char *data, const struct frame *a,
                            size_t *roofs, size_t *series, jm_err *err)
{
    FILE *f = fopen(data, "w");
    if (!f)
        return jm_fail(err, JM_EIO, "%s: %s", data, strerror(errno));
    *roofs = write_roofs(f, r, a);
    write_roof_labels(f, r, a);
    write_labels(f, r, a);
    *series = write_points(f, r);
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad)
        return jm_fail(err, JM_EIO, "%s: cannot be written; is the disk full?", data);
    return JM_OK;
}

static char *heading_of(const struct jm_roofline *r)
{
    char model[JM_ROOFLINE_MODEL] = "";
    if (r->n_runs > 0)
        jm_roofline_model(&r->run[0], model);
    return jm_asprintf("Roofline: %s%s%s, %s, %u thread%s", model, *model ? " on " : "",
                       r->device.name, r->device.isa, r->device.threads,
                       r->device.threads == 1 ? "" : "s");
}

static jm_status draw(const struct jm_roofline *r, const struct jm_scratch *scratch,
                      const char *dir, const volatile sig_atomic_t *stop, jm_err *err)
{
    const struct frame a = frame_of(r);
    size_t n_roofs = 0, n_series = 0;
    jm_status st = write_data(r, scratch->data, &a, &n_roofs, &n_series, err);
    if (st != JM_OK)
        return st;
    char *out = jm_asprintf("%s/roofline", dir), *heading = heading_of(r);
    char *roofs = jm_asprintf("%zu", n_roofs), *series = jm_asprintf("%zu", n_series);
    char *axes = jm_asprintf("%.6g %.6g %.6g %.6g", a.x0, a.x1, a.y0, a.y1);
    const struct jm_gnuplot g = {
        .script = "roofline",
        .data = scratch->data,
        .out = out,
        .heading = heading,
        .caption = "Roofs: the best of several short measurements. Points: work counted from "
                   "shapes, time by clocks around each operation.",
        .scripts = scratch->scripts,
        .extra = { roofs, series, axes },
    };
    st = out && heading && roofs && series && axes ? jm_gnuplot_run(&g, stop, err)
                                                   : jm_fail(err, JM_ENOMEM, "plot: out of memory");
    free(out);
    free(heading);
    free(roofs);
    free(series);
    free(axes);
    return st;
}

jm_status jm_plot_roofline(const struct jm_roofline *r, const char *dir,
                           const volatile sig_atomic_t *stop, jm_err *err)
{
    struct jm_scratch scratch;
    jm_status st = jm_scratch_open(&scratch, err);
    if (st != JM_OK)
        return st;
    st = draw(r, &scratch, dir, stop, err);
    jm_scratch_close(&scratch);
    return st;
}
