/* SPDX-License-Identifier: Apache-2.0 */
/* power.csv and energy.csv of a run: see jm_session_write. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "harness/energy/session_parts.h"

/* The phase of a moment; "" between phases. At a border the one that ends there. */
static const char *phase_at(const struct jm_channel *c, int64_t t_ns)
{
    for (int p = 0; p < JM_PHASES; p++)
        if (c->begin_ns[p] && c->end_ns[p] && t_ns > c->begin_ns[p] && t_ns <= c->end_ns[p])
            return jm_phase_name((enum jm_phase)p);
    return "";
}

static int64_t zero_ns(const struct jm_channel *c, const struct jm_series *r)
{
    if (c->begin_ns[JM_PHASE_MEASURED])
        return c->begin_ns[JM_PHASE_MEASURED];
    return r->n ? r->t_ns[0] : 0;
}

/* Names of domains come from files: quoted, quotes doubled, control characters left out. */
static void quoted(FILE *f, const char *text)
{
    putc('"', f);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', f);
        if ((unsigned char)*text >= ' ')
            putc(*text, f);
    }
    putc('"', f);
}

static void number(FILE *f, double v)
{
    if (isfinite(v))
        fprintf(f, ",%.9g", v);
    else
        putc(',', f);
}

static void power_rows(FILE *f, const struct jm_channel *c)
{
    const struct jm_series *r = jm_recorder_series(c->recorder);
    int64_t zero = zero_ns(c, r);

    for (size_t i = 1; i < r->n; i++) {
        double dt_s = (double)(r->t_ns[i] - r->t_ns[i - 1]) * 1e-9;
        for (uint32_t k = 0; k < r->domains; k++) {
            if (!r->domain[k].counted)
                continue;
            double a = r->row[(i - 1) * r->width + k], b = r->row[i * r->width + k];
            fprintf(f, "%.6f,%s,%s,", (double)(r->t_ns[i] - zero) * 1e-9, phase_at(c, r->t_ns[i]),
                    jm_channel_source(c));
            quoted(f, r->domain[k].name);
            number(f, (b - a) / dt_s);
            number(f, b);
            fputs("\r\n", f);
        }
    }
}

static void energy_rows(FILE *f, const struct jm_channel *c, enum jm_phase phase)
{
    const struct jm_series *r = jm_recorder_series(c->recorder);
    struct jm_window w;

    if (!c->begin_ns[phase])
        return;
    jm_channel_window(c, phase, &w);
    for (uint32_t k = 0; k < r->domains; k++) {
        const struct jm_meter_domain *d = &r->domain[k];
        fprintf(f, "%s,%s,%s,", jm_phase_name(phase), jm_channel_source(c),
                jm_meter_scope_name(d->scope));
        quoted(f, d->name);
        putc(',', f);
        quoted(f, d->parent >= 0 ? r->domain[d->parent].name : "");
        fprintf(f, ",%s,%.9g", d->counted ? "yes" : "no",
                (double)(c->end_ns[phase] - c->begin_ns[phase]) * 1e-9);
        number(f, w.available ? w.joules[k] : (double)NAN);
        number(f, w.available ? w.joules[k] / w.window_s : (double)NAN);
        number(f, w.available ? w.error_j : (double)NAN);
        putc(',', f);
        quoted(f, w.reason);
        fputs("\r\n", f);
    }
}

static jm_status write_one(const char *dir, const char *name, const jm_session *s, bool power,
                           jm_err *err)
{
    jm_writer w;
    char *path = jm_asprintf("%s/%s", dir, name);
    jm_status st =
        path ? jm_writer_open(path, &w, err) : jm_fail(err, JM_ENOMEM, "%s: out of memory", name);

    free(path);
    if (st != JM_OK)
        return st;
    fputs(power ? "time_s,phase,source,domain,power_w,energy_j\r\n"
                : "phase,source,scope,domain,inside,counted,duration_s,energy_j,power_w,"
                  "meter_error_j,reason\r\n",
          w.f);
    for (size_t i = 0; i < s->n; i++) {
        if (power)
            power_rows(w.f, &s->channel[i]);
        for (int p = 0; p < JM_PHASES && !power; p++)
            energy_rows(w.f, &s->channel[i], (enum jm_phase)p);
    }
    return jm_writer_commit(&w, err);
}

jm_status jm_session_write(const jm_session *s, const char *dir, jm_err *err)
{
    if (!s || s->n == 0 || !s->started)
        return JM_OK;
    jm_status st = write_one(dir, "power.csv", s, true, err);
    return st == JM_OK ? write_one(dir, "energy.csv", s, false, err) : st;
}
