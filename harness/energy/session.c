/* SPDX-License-Identifier: Apache-2.0 */
/* See session.h. */
#include "harness/energy/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "harness/energy/recorder.h"
#include "harness/energy/session_parts.h"

static const double spin_s = 0.3; /* to see a meter update */
static const double default_error = 0.01;

const char *jm_phase_name(enum jm_phase phase)
{
    static const char *const name[JM_PHASES] = { [JM_PHASE_IDLE] = "idle",
                                                 [JM_PHASE_WARMUP] = "warmup",
                                                 [JM_PHASE_MEASURED] = "measured",
                                                 [JM_PHASE_COOLDOWN] = "cooldown" };
    return name[phase];
}

const char *jm_channel_source(const struct jm_channel *c)
{
    return c->ops->estimated ? "estimated" : c->ops->name;
}

static jm_status channel_add(jm_session *s, const struct jm_meter_ops *ops,
                             const struct jm_meter_config *config, jm_err *err)
{
    struct jm_channel *c = &s->channel[s->n];
    jm_status st = ops->open(config, &c->meter, err);

    if (st != JM_OK)
        return st;
    c->ops = ops;
    c->update_s = jm_meter_update_s(ops, c->meter, spin_s);
    s->n++;
    return JM_OK;
}

/* The first of the names that works. A missing permission is told before a missing meter. */
static bool open_first(jm_session *s, const struct jm_meter_config *config,
                       const char *const *names, jm_err *why)
{
    for (; *names; names++) {
        const struct jm_meter_ops *ops = jm_meter_find(*names);
        jm_err e = { .status = JM_OK };
        if (!ops)
            continue;
        jm_status st = channel_add(s, ops, config, &e);
        if (st == JM_OK)
            return true;
        if (why->status == JM_OK || (why->status == JM_EUNSUPPORTED && st != JM_EUNSUPPORTED)) {
            *why = e;
            why->status = st;
        }
    }
    return false;
}

static void open_auto(jm_session *s, const struct jm_meter_config *config)
{
    static const char *const cpu[] = { "powercap", "papi", NULL }, *const gpu[] = { "nvml", NULL },
                             *const rest[] = { "hwmon", "battery", "ipmi", NULL };
    jm_err why = { .status = JM_OK }, other = { .status = JM_OK };

    bool any = open_first(s, config, cpu, &why);
    any |= open_first(s, config, gpu, &other);
    if (!any)
        any = open_first(s, config, rest, &other);
    if (any)
        return;
    s->denied = why.status == JM_EIO;
    snprintf(s->reason, sizeof s->reason, "%.199s", why.text);
}

static bool named_already(const jm_session *s, const struct jm_meter_ops *ops)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->channel[i].ops == ops)
            return true;
    return false;
}

/* One "NAME" or "NAME=FILE", in place. */
static jm_status open_named(jm_session *s, struct jm_meter_config config, char *item, jm_err *err)
{
    char *file = strchr(item, '=');

    if (file)
        *file++ = '\0';
    const struct jm_meter_ops *ops = jm_meter_find(item);
    if (!ops)
        return jm_fail(err, JM_EUSAGE, "no energy meter '%.32s'; 'joulemark list' shows them",
                       item);
    if (named_already(s, ops))
        return jm_fail(err, JM_EUSAGE, "energy meter %s is named twice", item);
    if (s->n == JM_SESSION_METERS)
        return jm_fail(err, JM_EUSAGE, "more than %d energy meters", JM_SESSION_METERS);
    if (file && !ops->takes_file)
        return jm_fail(err, JM_EUSAGE, "energy meter %s takes no file", item);
    if (!file && ops->takes_file)
        return jm_fail(err, JM_EUSAGE, "energy meter %s needs a file: %s=FILE", item, item);
    config.path = file;
    return channel_add(s, ops, &config, err);
}

static jm_status open_list(jm_session *s, const struct jm_session_config *config, jm_err *err)
{
    char *list = strdup(config->meters), *rest = list, *item;
    jm_status st = list ? JM_OK : jm_fail(err, JM_ENOMEM, "no memory for energy meters");

    while (st == JM_OK && (item = strsep(&rest, ",")))
        st = open_named(s, config->meter, item, err);
    free(list);
    return st;
}

jm_status jm_session_open(const struct jm_session_config *config, jm_session **out, jm_err *err)
{
    jm_session *s = calloc(1, sizeof *s);
    jm_status st = JM_OK;

    *out = NULL;
    if (!s)
        return jm_fail(err, JM_ENOMEM, "no memory for energy meters");
    s->interval_s = config->interval_s;
    s->stated_error = config->stated_error > 0.0 ? config->stated_error : default_error;
    s->phase = JM_PHASES;
    if (strcmp(config->meters, "none") == 0)
        snprintf(s->reason, sizeof s->reason, "not asked for (--energy none)");
    else if (strcmp(config->meters, "auto") == 0)
        open_auto(s, &config->meter);
    else
        st = open_list(s, config, err);
    if (st != JM_OK) {
        jm_session_close(s);
        return st;
    }
    *out = s;
    return JM_OK;
}

size_t jm_session_meters(const jm_session *s)
{
    return s->n;
}

bool jm_session_denied(const jm_session *s)
{
    return s->denied;
}

static jm_status start(jm_session *s, jm_err *err)
{
    jm_status st = JM_OK;

    for (size_t i = 0; i < s->n && st == JM_OK; i++) {
        struct jm_channel *c = &s->channel[i];
        st = jm_recorder_start(c->ops, c->meter, s->interval_s, &c->recorder, err);
    }
    s->started = st == JM_OK;
    return st;
}

/* A run starts no programs but those that meters run. */
int64_t jm_session_cpu_ns(const jm_session *s)
{
    struct rusage u = { 0 };
    int64_t ns = 0;

    for (size_t i = 0; i < s->n; i++)
        ns += s->channel[i].recorder ? jm_recorder_cpu_ns(s->channel[i].recorder) : 0;
    if (getrusage(RUSAGE_CHILDREN, &u) == 0)
        ns += (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000000) +
              (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * INT64_C(1000);
    return ns;
}

jm_status jm_session_phase(jm_session *s, enum jm_phase phase, jm_err *err)
{
    jm_status st = s->started ? JM_OK : start(s, err);

    if (st != JM_OK)
        return st;
    if (s->phase != JM_PHASES)
        s->end_cpu_ns[s->phase] = jm_session_cpu_ns(s);
    for (size_t i = 0; i < s->n; i++) {
        struct jm_channel *c = &s->channel[i];
        int64_t t_ns = jm_recorder_mark(c->recorder);
        if (s->phase != JM_PHASES)
            c->end_ns[s->phase] = t_ns;
        c->begin_ns[phase] = t_ns;
        c->end_ns[phase] = 0;
    }
    s->begin_cpu_ns[phase] = jm_session_cpu_ns(s);
    s->phase = phase;
    return JM_OK;
}

void jm_session_end(jm_session *s)
{
    if (!s || s->ended)
        return;
    s->ended = true;
    if (s->phase != JM_PHASES)
        s->end_cpu_ns[s->phase] = jm_session_cpu_ns(s);
    for (size_t i = 0; i < s->n; i++) {
        struct jm_channel *c = &s->channel[i];
        if (!c->recorder)
            continue;
        int64_t t_ns = jm_recorder_mark(c->recorder);
        if (s->phase != JM_PHASES)
            c->end_ns[s->phase] = t_ns;
    }
    for (size_t i = 0; i < s->n; i++)
        if (s->channel[i].recorder)
            jm_recorder_stop(s->channel[i].recorder);
    s->phase = JM_PHASES;
}

void jm_session_close(jm_session *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        jm_recorder_free(s->channel[i].recorder);
        s->channel[i].ops->close(s->channel[i].meter);
    }
    free(s);
}

/* ---- results ---- */

double jm_session_reading_share(const jm_session *s)
{
    const enum jm_phase p = JM_PHASE_MEASURED;

    if (!s || s->n == 0 || s->channel[0].end_ns[p] <= s->channel[0].begin_ns[p])
        return (double)NAN;
    return (double)(s->end_cpu_ns[p] - s->begin_cpu_ns[p]) /
           (double)(s->channel[0].end_ns[p] - s->channel[0].begin_ns[p]);
}

struct sum {
    bool available;
    char reason[JM_ENERGY_REASON];
    double joules, window_s, average_w, peak_w, error_j, min_window_s;
    uint32_t readings, wraps;
};

double jm_channel_step_s(const struct jm_channel *c)
{
    double interval_s = c->recorder ? jm_recorder_interval_s(c->recorder) : 0.0;
    /* Ten updates: the jitter of both ends is then a tenth of the mean. */
    return fmax(interval_s, (c->ops->read && !c->ops->slow ? 10.0 : 1.0) * c->update_s);
}

void jm_channel_window(const struct jm_channel *c, enum jm_phase phase, struct jm_window *out)
{
    if (!c->recorder || c->begin_ns[phase] == 0 || c->end_ns[phase] == 0) {
        *out = (struct jm_window){ .available = false };
        snprintf(out->reason, sizeof out->reason, "there was no %s phase", jm_phase_name(phase));
        return;
    }
    jm_series_window(jm_recorder_series(c->recorder), c->update_s, jm_channel_step_s(c),
                     c->begin_ns[phase], c->end_ns[phase], out);
}

/* The share of a meter's error that its chosen domains have, by number: bounds are per meter. */
static void sum_channel(const jm_session *s, size_t i, enum jm_phase phase, const bool *chosen,
                        struct sum *out)
{
    const struct jm_channel *c = &s->channel[i];
    struct jm_window w;
    double joules = 0.0;

    jm_channel_window(c, phase, &w);
    if (!w.available) {
        if (!out->reason[0])
            snprintf(out->reason, sizeof out->reason, "%.199s", w.reason);
        return;
    }
    for (uint32_t k = 0; k < jm_recorder_series(c->recorder)->domains; k++)
        joules += chosen[k] ? w.joules[k] : 0.0;
    out->joules += joules;
    out->average_w += joules / w.window_s;
    out->window_s = fmax(out->window_s, w.window_s);
    out->error_j += w.error_j;
    out->min_window_s = fmax(out->min_window_s, jm_window_needed_s(&w, s->stated_error));
    out->readings += w.readings;
    out->wraps += w.wraps;
}

/* chosen: [n][JM_METER_DOMAINS] */
static void choose(const jm_session *s, bool (*chosen)[JM_METER_DOMAINS])
{
    enum { MOST = JM_SESSION_METERS * JM_METER_DOMAINS };
    struct jm_meter_domain *d = calloc(MOST, sizeof *d);
    size_t meter[MOST], n = 0;
    bool flat[MOST];

    memset(chosen, 0, JM_SESSION_METERS * sizeof *chosen);
    if (!d)
        return;
    for (size_t i = 0; i < s->n; i++) {
        const struct jm_channel *c = &s->channel[i];
        for (uint32_t k = 0; k < c->ops->count(c->meter); k++) {
            c->ops->domain(c->meter, k, &d[n]);
            meter[n++] = i;
        }
    }
    jm_energy_choose(d, meter, n, flat);
    n = 0;
    for (size_t i = 0; i < s->n; i++)
        for (uint32_t k = 0; k < s->channel[i].ops->count(s->channel[i].meter); k++)
            chosen[i][k] = flat[n++];
    free(d);
}

static bool any(const bool *chosen)
{
    for (size_t k = 0; k < JM_METER_DOMAINS; k++)
        if (chosen[k])
            return true;
    return false;
}

static void sum_phase(const jm_session *s, enum jm_phase phase, bool (*chosen)[JM_METER_DOMAINS],
                      struct sum *out)
{
    struct jm_series_pick pick[JM_SESSION_METERS * JM_METER_DOMAINS];
    size_t picks = 0;
    double step_s = 0.0;

    *out = (struct sum){ .available = false };
    for (size_t i = 0; i < s->n; i++) {
        const struct jm_channel *c = &s->channel[i];
        if (!any(chosen[i]))
            continue;
        sum_channel(s, i, phase, chosen[i], out);
        step_s = fmax(step_s, jm_channel_step_s(c));
        for (uint32_t k = 0; k < JM_METER_DOMAINS && !out->reason[0]; k++)
            if (chosen[i][k])
                pick[picks++] = (struct jm_series_pick){ jm_recorder_series(c->recorder), k,
                                                         c->begin_ns[phase], c->end_ns[phase] };
    }
    out->available = picks > 0 && !out->reason[0];
    if (out->available)
        out->peak_w = jm_series_peak(pick, picks, step_s);
}

static void append(char *text, size_t size, const char *word)
{
    size_t n = strlen(text);
    if (!strstr(text, word))
        snprintf(text + n, size - n, "%s%s", n ? "+" : "", word);
}

static void describe(const jm_session *s, bool (*chosen)[JM_METER_DOMAINS], struct jm_energy *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct jm_channel *c = &s->channel[i];
        if (!any(chosen[i]))
            continue;
        append(out->source, sizeof out->source, jm_channel_source(c));
        out->estimated |= c->ops->estimated;
        out->update_s = fmax(out->update_s, c->update_s);
        if (c->recorder)
            out->interval_s = fmax(out->interval_s, jm_recorder_interval_s(c->recorder));
        for (uint32_t k = 0; k < c->ops->count(c->meter); k++) {
            struct jm_meter_domain d;
            c->ops->domain(c->meter, k, &d);
            if (chosen[i][k])
                append(out->scope, sizeof out->scope, jm_meter_scope_name(d.scope));
        }
    }
}

/* Net of idle, and whether both idle phases agree: where they differ by more than the error over
 * the measured time, something else was running. */
static void net(const jm_session *s, const struct sum *m, const struct sum *before,
                const struct sum *after, struct jm_energy *out)
{
    if (!before->available && !after->available) {
        snprintf(out->reason, sizeof out->reason, "net: idle power is unavailable: %.150s",
                 before->reason);
        return;
    }
    out->idle_w = before->available ? before->average_w : (double)NAN;
    out->idle_after_w = after->available ? after->average_w : (double)NAN;
    double one_w = before->available ? before->error_j / before->window_s : 0.0;
    double two_w = after->available ? after->error_j / after->window_s : 0.0;
    double idle_w = before->available ? before->average_w : after->average_w;
    if (before->available && after->available) {
        double apart_w = fabs(before->average_w - after->average_w);
        double allowed_w = fmax(m->error_j, s->stated_error * m->joules) / m->window_s;
        if (apart_w > allowed_w + one_w + two_w) {
            out->valid = false;
            snprintf(out->reason, sizeof out->reason,
                     "idle power before (%.4g W) and after (%.4g W) differ by more than the error "
                     "(%.3g W): something else ran",
                     before->average_w, after->average_w, allowed_w + one_w + two_w);
            return;
        }
        idle_w = (before->average_w + after->average_w) / 2;
    }
    out->net_j = m->joules - idle_w * m->window_s;
    out->net_error_j = m->error_j + fmax(one_w, two_w) * m->window_s;
}

static void too_short(const jm_session *s, const struct sum *m, struct jm_energy *out)
{
    out->valid = m->error_j <= s->stated_error * m->joules;
    if (out->valid)
        return;
    if (isinf(m->min_window_s))
        snprintf(out->reason, sizeof out->reason,
                 "the error is %.2g%% of the energy, and no longer window brings it to %.2g%%: the "
                 "meter's steps are too large",
                 m->error_j / m->joules * 100, s->stated_error * 100);
    else
        snprintf(out->reason, sizeof out->reason,
                 "the window of %.3g s is too short: the error is %.2g%% of the energy; %.2g%% "
                 "needs %.3g s",
                 m->window_s, m->error_j / m->joules * 100, s->stated_error * 100, m->min_window_s);
}

void jm_session_energy(const jm_session *s, struct jm_energy *out)
{
    const double none = (double)NAN;
    bool chosen[JM_SESSION_METERS][JM_METER_DOMAINS];
    struct sum m, before, after;

    *out = (struct jm_energy){ .joules = none,
                               .net_j = none,
                               .average_w = none,
                               .peak_w = none,
                               .idle_w = none,
                               .idle_after_w = none,
                               .error_j = none,
                               .net_error_j = none,
                               .min_window_s = none };
    if (!s || s->n == 0) {
        snprintf(out->reason, sizeof out->reason, "%.199s",
                 s && s->reason[0] ? s->reason : "energy was not measured");
        return;
    }
    choose(s, chosen);
    describe(s, chosen, out);
    sum_phase(s, JM_PHASE_MEASURED, chosen, &m);
    if (!m.available) {
        snprintf(out->reason, sizeof out->reason, "%.199s", m.reason);
        return;
    }
    sum_phase(s, JM_PHASE_IDLE, chosen, &before);
    sum_phase(s, JM_PHASE_COOLDOWN, chosen, &after);
    out->available = true;
    out->joules = m.joules;
    out->average_w = m.average_w;
    out->peak_w = m.peak_w;
    out->error_j = m.error_j;
    out->min_window_s = m.min_window_s;
    out->readings = m.readings;
    out->wraps = m.wraps;
    too_short(s, &m, out);
    net(s, &m, &before, &after, out);
}
