/* SPDX-License-Identifier: Apache-2.0 */
/* See series.h. E = sum of counter differences, or the trapezoid rule over sampled power. A failed
 * read voids the window: taken as 0 it would look like a wrap-around and add a counter's range. */
#include "harness/energy/series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static const double impossible_w = 10000.0; /* more is a misread counter, not power */
static const double still_s = 1.0;          /* a live counter moves in so long */

enum { MOST_BYTES = 16 << 20, FIRST_ROOM = 256 };

static double *row_at(const struct jm_series *s, size_t i)
{
    return s->row + i * s->width;
}

jm_status jm_series_init(struct jm_series *s, const struct jm_meter_ops *ops, const jm_meter *meter,
                         size_t most, jm_err *err)
{
    *s = (struct jm_series){ .domains = ops->count(meter) };
    for (uint32_t i = 0; i < s->domains; i++)
        ops->domain(meter, i, &s->domain[i]);
    s->width = 2 * s->domains + 1;
    s->most = most ? most : MOST_BYTES / (s->width * sizeof(double));
    s->room = s->most < FIRST_ROOM ? s->most : FIRST_ROOM;
    s->t_ns = malloc(s->room * sizeof *s->t_ns);
    s->wraps = malloc(s->room * sizeof *s->wraps);
    s->edge = malloc(s->room * sizeof *s->edge);
    s->row = malloc(s->room * s->width * sizeof *s->row);
    if (s->t_ns && s->wraps && s->edge && s->row)
        return JM_OK;
    jm_series_free(s);
    return jm_fail(err, JM_ENOMEM, "%s: no memory for energy readings", ops->name);
}

void jm_series_free(struct jm_series *s)
{
    free(s->t_ns);
    free(s->wraps);
    free(s->edge);
    free(s->row);
    *s = (struct jm_series){ .n = 0 };
}

void jm_series_fault(struct jm_series *s, int64_t from_ns, int64_t to_ns, const char *text)
{
    if (s->faults < JM_SERIES_FAULTS) {
        struct jm_series_fault *f = &s->fault[s->faults];
        *f = (struct jm_series_fault){ .from_ns = from_ns, .to_ns = to_ns };
        snprintf(f->text, sizeof f->text, "%.199s", text);
    }
    s->faults++;
    s->last_fault_ns = to_ns;
}

static void row_move(struct jm_series *s, size_t to, size_t from)
{
    s->t_ns[to] = s->t_ns[from];
    s->wraps[to] = s->wraps[from];
    s->edge[to] = s->edge[from];
    memmove(row_at(s, to), row_at(s, from), s->width * sizeof *s->row);
}

/* Drops every second row. Joules are sums over all readings ever made, so that none are lost. */
static void thin(struct jm_series *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++)
        if (i % 2 == 0 || s->edge[i] || i + 1 == s->n)
            row_move(s, kept++, i);
    s->n = kept;
}

static bool grow(struct jm_series *s)
{
    if (s->n < s->room)
        return true;
    if (s->room >= s->most) {
        thin(s);
        return s->n < s->room;
    }
    size_t room = s->room * 2 < s->most ? s->room * 2 : s->most, doubles, bytes;
    if (!jm_mul_size(room, s->width, &doubles) || !jm_mul_size(doubles, sizeof *s->row, &bytes))
        return false;
    void *t = realloc(s->t_ns, room * sizeof *s->t_ns);
    s->t_ns = t ? t : s->t_ns;
    void *w = realloc(s->wraps, room * sizeof *s->wraps);
    s->wraps = w ? w : s->wraps;
    void *e = realloc(s->edge, room * sizeof *s->edge);
    s->edge = e ? e : s->edge;
    void *r = realloc(s->row, bytes);
    s->row = r ? r : s->row;
    if (!t || !w || !e || !r)
        return false;
    s->room = room;
    return true;
}

/* Fills the new row from the one before it. */
static void integrate(struct jm_series *s, const double *value)
{
    double *now = row_at(s, s->n), *error = &now[s->domains], *watts = error + 1;
    const double *old = s->n ? row_at(s, s->n - 1) : NULL;
    double dt_s = old ? (double)(s->t_ns[s->n] - s->t_ns[s->n - 1]) * 1e-9 : 0.0;

    *error = old ? old[s->domains] : 0.0;
    for (uint32_t i = 0; i < s->domains; i++) {
        if (s->domain[i].kind == JM_METER_COUNTER) {
            now[i] = value[i];
            watts[i] = (double)NAN;
            continue;
        }
        double was_w = old ? old[s->domains + 1 + i] : value[i];
        now[i] = (old ? old[i] : 0.0) + (was_w + value[i]) / 2 * dt_s;
        watts[i] = value[i];
        if (s->domain[i].counted)
            *error += fabs(value[i] - was_w) * dt_s / 2;
    }
}

/* A gap between the last row and t_ns. */
static void check_gap(struct jm_series *s, int64_t t_ns)
{
    int64_t last_ns = s->t_ns[s->n - 1];
    double dt_s = (double)(t_ns - last_ns) * 1e-9;
    char text[JM_ENERGY_REASON];

    for (uint32_t i = 0; i < s->domains; i++) {
        const struct jm_meter_domain *d = &s->domain[i];
        if (!d->counted || !(d->gap_s > 0.0) || dt_s <= d->gap_s)
            continue;
        snprintf(text, sizeof text, "%.60s: a gap of %.3g s between readings, %.3g s at most",
                 d->name, dt_s, d->gap_s);
        jm_series_fault(s, last_ns + 1, t_ns - 1, text);
        return;
    }
}

void jm_series_add(struct jm_series *s, int64_t t_ns, const double *value, uint32_t wraps,
                   bool edge)
{
    if (s->n && t_ns <= s->t_ns[s->n - 1]) {
        if (t_ns < s->t_ns[s->n - 1])
            jm_series_fault(s, t_ns, s->t_ns[s->n - 1],
                            "the time of a reading is before the one of the last");
        return;
    }
    if (s->n)
        check_gap(s, t_ns);
    if (!grow(s)) {
        jm_series_fault(s, t_ns, t_ns, "no memory for energy readings");
        return;
    }
    s->t_ns[s->n] = t_ns;
    s->wraps[s->n] = wraps;
    s->edge[s->n] = edge;
    integrate(s, value);
    s->n++;
}

/* The last row at or before t_ns; there is one. */
static size_t row_before(const struct jm_series *s, int64_t t_ns)
{
    size_t lo = 0, hi = s->n;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->t_ns[mid] <= t_ns)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

double jm_series_joules(const struct jm_series *s, uint32_t domain, int64_t t_ns)
{
    size_t i = row_before(s, t_ns);
    const double *a = row_at(s, i);
    if (t_ns <= s->t_ns[i] || i + 1 >= s->n)
        return a[domain];
    const double *b = row_at(s, i + 1);
    double dt_s = (double)(s->t_ns[i + 1] - s->t_ns[i]) * 1e-9;
    double x_s = (double)(t_ns - s->t_ns[i]) * 1e-9;
    if (s->domain[domain].kind == JM_METER_COUNTER)
        return a[domain] + (b[domain] - a[domain]) * x_s / dt_s;
    double wa = a[s->domains + 1 + domain], wb = b[s->domains + 1 + domain];
    /* Thinned rows: what the straight line misses of the joules is spread evenly. */
    double missed_j = b[domain] - a[domain] - (wa + wb) / 2 * dt_s;
    return a[domain] + wa * x_s + (wb - wa) / dt_s * x_s * x_s / 2 + missed_j * x_s / dt_s;
}

double jm_series_peak(const struct jm_series_pick *pick, size_t n, double step_s)
{
    double window_s = INFINITY, peak_w = -INFINITY;

    for (size_t i = 0; i < n; i++)
        window_s = fmin(window_s, (double)(pick[i].t1_ns - pick[i].t0_ns) * 1e-9);
    if (n == 0 || !(window_s > 0.0))
        return (double)NAN;
    double steps = floor(fmin(fmax(window_s / step_s, 1.0), 1e6));
    double len_s = window_s / steps;
    for (size_t k = 0; (double)k < steps; k++) {
        double j = 0.0;
        for (size_t i = 0; i < n; i++) {
            int64_t a = pick[i].t0_ns + (int64_t)((double)k * len_s * 1e9);
            int64_t b = pick[i].t0_ns + (int64_t)((double)(k + 1) * len_s * 1e9);
            j += jm_series_joules(pick[i].series, pick[i].domain, b) -
                 jm_series_joules(pick[i].series, pick[i].domain, a);
        }
        peak_w = fmax(peak_w, j / len_s);
    }
    return peak_w;
}

static bool fail(struct jm_window *w, const char *text)
{
    if (!w->reason[0])
        snprintf(w->reason, sizeof w->reason, "%.199s", text);
    return false;
}

static bool covered(const struct jm_series *s, int64_t t0_ns, int64_t t1_ns, struct jm_window *w)
{
    if (t1_ns <= t0_ns)
        return fail(w, "the energy window has no length");
    for (size_t i = 0; i < s->faults && i < JM_SERIES_FAULTS; i++)
        if (s->fault[i].to_ns >= t0_ns && s->fault[i].from_ns <= t1_ns)
            return fail(w, s->fault[i].text);
    /* Between the last fault kept and the last of all there may be more. */
    if (s->faults > JM_SERIES_FAULTS && s->last_fault_ns >= t0_ns &&
        s->fault[JM_SERIES_FAULTS - 1].from_ns <= t1_ns)
        return fail(w, s->fault[JM_SERIES_FAULTS - 1].text);
    if (s->n == 0 || s->t_ns[0] > t0_ns || s->t_ns[s->n - 1] < t1_ns)
        return fail(w, "the meter's readings do not cover the window");
    return true;
}

/* Rows a..b hold the window of one counted domain. */
static bool steps_sound(const struct jm_series *s, uint32_t d, size_t a, size_t b, double update_s,
                        struct jm_window *w)
{
    const struct jm_meter_domain *m = &s->domain[d];
    double limit_s = fmax(still_s, 10 * update_s);
    int64_t moved_ns = s->t_ns[a];
    char text[JM_ENERGY_REASON];

    for (size_t i = a; i < b; i++) {
        double dt_s = (double)(s->t_ns[i + 1] - s->t_ns[i]) * 1e-9;
        double step_j = row_at(s, i + 1)[d] - row_at(s, i)[d];
        double quiet_s = (double)(s->t_ns[i + 1] - moved_ns) * 1e-9;
        text[0] = '\0';
        /* One second more than passed, as the counter's value may be older than its reading. */
        if (!(step_j >= 0.0 && step_j <= impossible_w * (dt_s + 1.0)))
            snprintf(text, sizeof text, "the counter of %.60s jumped by %.6g J", m->name, step_j);
        else if (m->kind == JM_METER_COUNTER && step_j <= 0.0 && quiet_s >= limit_s)
            snprintf(text, sizeof text, "the counter of %.60s stood still for %.3g s", m->name,
                     quiet_s);
        if (text[0])
            return fail(w, text);
        moved_ns = step_j > 0.0 ? s->t_ns[i + 1] : moved_ns;
    }
    return true;
}

static bool domain_window(const struct jm_series *s, uint32_t d, int64_t t0_ns, int64_t t1_ns,
                          double update_s, struct jm_window *w)
{
    size_t a = row_before(s, t0_ns), b = row_before(s, t1_ns);
    char text[JM_ENERGY_REASON];

    b += s->t_ns[b] < t1_ns;
    w->joules[d] = jm_series_joules(s, d, t1_ns) - jm_series_joules(s, d, t0_ns);
    if (!s->domain[d].counted)
        return true;
    if (!steps_sound(s, d, a, b, update_s, w))
        return false;
    if (w->joules[d] > 0.0)
        return true;
    snprintf(text, sizeof text, "the counter of %.60s stood still for %.3g s%s", s->domain[d].name,
             w->window_s,
             w->window_s < fmax(still_s, 10 * update_s) ? ": the window is too short" : "");
    return fail(w, text);
}

static void window_error(const struct jm_series *s, double update_s, int64_t t0_ns, int64_t t1_ns,
                         struct jm_window *w)
{
    size_t a = row_before(s, t0_ns), b = row_before(s, t1_ns);
    double steps_j = 0.0, steps_w = 0.0;

    b += s->t_ns[b] < t1_ns;
    for (uint32_t i = 0; i < s->domains; i++) {
        if (!s->domain[i].counted)
            continue;
        if (s->domain[i].kind == JM_METER_COUNTER)
            steps_j += s->domain[i].step;
        else
            steps_w += s->domain[i].step;
    }
    double sampling_j = row_at(s, b)[s->domains] - row_at(s, a)[s->domains];
    w->edge_j = fmax(w->peak_w, w->average_w) * update_s;
    w->still_j = steps_j;
    w->per_s_j = steps_w + sampling_j / w->window_s;
    w->error_j = w->edge_j + w->still_j + w->per_s_j * w->window_s;
    w->readings = (uint32_t)(b - a + 1);
    w->wraps = s->wraps[b] - s->wraps[a];
}

static void clear(struct jm_window *w)
{
    const double none = (double)NAN;

    *w = (struct jm_window){ .total_j = none, .average_w = none, .peak_w = none, .error_j = none };
    for (uint32_t i = 0; i < JM_METER_DOMAINS; i++)
        w->joules[i] = none;
}

void jm_series_window(const struct jm_series *s, double update_s, double step_s, int64_t t0_ns,
                      int64_t t1_ns, struct jm_window *out)
{
    struct jm_series_pick pick[JM_METER_DOMAINS];
    size_t picks = 0;
    char reason[JM_ENERGY_REASON];

    clear(out);
    out->window_s = (double)(t1_ns - t0_ns) * 1e-9;
    bool sound = covered(s, t0_ns, t1_ns, out);
    double total_j = 0.0;
    for (uint32_t i = 0; i < s->domains && sound; i++) {
        sound = domain_window(s, i, t0_ns, t1_ns, update_s, out);
        if (!s->domain[i].counted)
            continue;
        total_j += out->joules[i];
        pick[picks++] = (struct jm_series_pick){ s, i, t0_ns, t1_ns };
    }
    if (!sound) {
        memcpy(reason, out->reason, sizeof reason);
        double window_s = out->window_s;
        clear(out);
        memcpy(out->reason, reason, sizeof reason);
        out->window_s = window_s;
        return;
    }
    out->available = true;
    out->total_j = total_j;
    out->average_w = total_j / out->window_s;
    out->peak_w = jm_series_peak(pick, picks, step_s);
    window_error(s, update_s, t0_ns, t1_ns, out);
}

/* edge + still + per_s * T <= share * average * T */
double jm_window_needed_s(const struct jm_window *w, double share)
{
    double gain_w = share * w->average_w - w->per_s_j;

    return gain_w > 0.0 ? (w->edge_j + w->still_j) / gain_w : (double)INFINITY;
}
