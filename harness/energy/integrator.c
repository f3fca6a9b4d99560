/* SPDX-License-Identifier: Apache-2.0 */
/* See integrator.h. E = sum of counter differences; one thread reads. A failed read voids the
 * window: taken as 0 it would look like a wrap-around and add a whole counter range. */
#include "harness/energy/integrator.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static const double most_w = 1000.0;        /* a domain's power, for the reading interval */
static const double impossible_w = 10000.0; /* more is a misread counter, not power */
static const double still_s = 1.0;          /* a live counter moves in so long */
static const uint32_t default_interval_ms = 100;

struct jm_integrator {
    struct jm_integral it; /* under lock while the thread runs */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    int64_t interval_ns;
};

static void fail(struct jm_integral *it, const char *text)
{
    if (!it->failed)
        snprintf(it->reason, sizeof it->reason, "%.199s", text);
    it->failed = true;
}

/* One reading into j; false and the reason kept when it failed. */
static bool take(struct jm_integral *it, double *j)
{
    jm_err err = { .status = JM_OK };

    if (it->failed)
        return false;
    if (it->ops->read(it->meter, j, &it->wraps, &err) != JM_OK) {
        fail(it, err.text[0] ? err.text : "the energy counter could not be read");
        return false;
    }
    it->reads++;
    return true;
}

void jm_integral_begin(struct jm_integral *it, const struct jm_meter_ops *ops, jm_meter *meter,
                       int64_t now_ns)
{
    *it = (struct jm_integral){ .ops = ops, .meter = meter, .t0_ns = now_ns, .last_ns = now_ns };
    if (!ops || !meter)
        fail(it, "there is no energy meter");
    if (!take(it, it->first_j))
        return;
    memcpy(it->last_j, it->first_j, sizeof it->last_j);
    it->first_wraps = it->wraps;
}

void jm_integral_tick(struct jm_integral *it, int64_t now_ns)
{
    double j[JM_METER_DOMAINS];
    char text[160];

    if (!take(it, j))
        return;
    /* One second more than passed, as the counter's value may be older than its reading. */
    double limit_j = impossible_w * ((double)(now_ns - it->last_ns) * 1e-9 + 1.0);
    for (uint32_t i = 0; i < it->ops->count(it->meter); i++) {
        struct jm_meter_domain d;
        it->ops->domain(it->meter, i, &d);
        double step_j = j[i] - it->last_j[i];
        if (d.counted && !(step_j >= 0.0 && step_j <= limit_j)) {
            snprintf(text, sizeof text, "the counter of %.60s jumped by %.6g J", d.name, step_j);
            fail(it, text);
        }
        it->last_j[i] = j[i];
    }
    it->last_ns = now_ns;
}

/* The sum over counted domains; a domain that stood still voids it. */
static double sum(struct jm_integral *it, double window_s, uint32_t *counted)
{
    double joules = 0.0;
    char text[160];

    *counted = 0;
    for (uint32_t i = 0; i < it->ops->count(it->meter); i++) {
        struct jm_meter_domain d;
        it->ops->domain(it->meter, i, &d);
        if (!d.counted)
            continue;
        double part = it->last_j[i] - it->first_j[i];
        if (!(part > 0.0)) {
            snprintf(text, sizeof text, "the counter of %.60s stood still for %.3g s%s", d.name,
                     window_s, window_s < still_s ? ": the window is too short" : "");
            fail(it, text);
        }
        joules += part;
        ++*counted;
    }
    return joules;
}

static void energy_clear(struct jm_energy *out)
{
    const double none = (double)NAN;

    *out = (struct jm_energy){ .joules = none, .average_w = none, .idle_w = none, .error_j = none };
}

void jm_integral_end(struct jm_integral *it, int64_t now_ns, struct jm_energy *out)
{
    double joules = 0.0, window_s = (double)(now_ns - it->t0_ns) * 1e-9;
    uint32_t counted = 0;

    energy_clear(out);
    jm_integral_tick(it, now_ns);
    if (!it->failed)
        joules = sum(it, window_s, &counted);
    if (!it->failed && !(window_s > 0.0))
        fail(it, "the energy window has no length");
    out->reads = it->reads;
    out->wraps = it->wraps - it->first_wraps;
    if (it->ops) {
        snprintf(out->source, sizeof out->source, "%.31s", it->ops->name);
        snprintf(out->scope, sizeof out->scope, "%.15s", it->ops->scope);
    }
    if (it->failed) {
        memcpy(out->reason, it->reason, sizeof out->reason);
        return;
    }
    out->available = true;
    out->joules = joules;
    out->average_w = joules / window_s;
    out->error_j =
        out->average_w * it->ops->update_s + it->ops->resolution_j(it->meter) * (double)counted;
}

static void *sample(void *arg)
{
    jm_integrator *g = arg;
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    pthread_mutex_lock(&g->lock);
    while (!g->stop) {
        int64_t ns = at.tv_nsec + g->interval_ns;
        at.tv_sec += (time_t)(ns / 1000000000);
        at.tv_nsec = (long)(ns % 1000000000);
        int rc = 0;
        while (!g->stop && rc == 0)
            rc = pthread_cond_timedwait(&g->wake, &g->lock, &at);
        if (g->stop)
            break;
        jm_integral_tick(&g->it, jm_now_ns());
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > at.tv_sec) /* held up: do not catch up with a burst of reads */
            at = now;
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* Below range / (2 * most_w), so that no counter can wrap twice between readings. */
static int64_t interval_ns(const struct jm_meter_ops *ops, jm_meter *meter, uint32_t interval_ms)
{
    double s = (interval_ms ? interval_ms : default_interval_ms) * 1e-3;

    for (uint32_t i = 0; i < ops->count(meter); i++) {
        struct jm_meter_domain d;
        ops->domain(meter, i, &d);
        if (d.counted && d.range_j > 0.0)
            s = fmin(s, d.range_j / (2.0 * most_w));
    }
    return (int64_t)(fmax(s, 0.001) * 1e9);
}

static int thread_start(jm_integrator *g)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->wake, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&g->thread, NULL, sample, g);
    if (rc != 0) {
        pthread_cond_destroy(&g->wake);
        pthread_mutex_destroy(&g->lock);
    }
    return rc;
}

jm_status jm_integrator_start(const struct jm_meter_ops *ops, jm_meter *meter, uint32_t interval_ms,
                              const char *reason, jm_integrator **out, jm_err *err)
{
    jm_integrator *g = calloc(1, sizeof *g);

    *out = NULL;
    if (!g)
        return jm_fail(err, JM_ENOMEM, "no memory for an energy reader");
    jm_integral_begin(&g->it, ops, meter, jm_now_ns());
    if (!ops || !meter) {
        if (reason)
            snprintf(g->it.reason, sizeof g->it.reason, "%.199s", reason);
        *out = g;
        return JM_OK;
    }
    g->interval_ns = interval_ns(ops, meter, interval_ms);
    int rc = thread_start(g);
    if (rc != 0) {
        free(g);
        return jm_fail(err, JM_EIO, "the energy reader's thread does not start: %s", strerror(rc));
    }
    *out = g;
    return JM_OK;
}

void jm_integrator_stop(jm_integrator *it, struct jm_energy *out)
{
    if (!it) {
        energy_clear(out);
        snprintf(out->reason, sizeof out->reason, "energy was not measured");
        return;
    }
    if (!it->it.ops || !it->it.meter) {
        jm_integral_end(&it->it, jm_now_ns(), out);
        free(it);
        return;
    }
    pthread_mutex_lock(&it->lock);
    it->stop = true;
    jm_integral_end(&it->it, jm_now_ns(), out);
    pthread_cond_signal(&it->wake);
    pthread_mutex_unlock(&it->lock);
    pthread_join(it->thread, NULL);
    pthread_cond_destroy(&it->wake);
    pthread_mutex_destroy(&it->lock);
    free(it);
}

jm_status jm_energy_idle(const struct jm_meter_ops *ops, jm_meter *meter, double seconds,
                         const volatile sig_atomic_t *stop, double *idle_w, jm_err *err)
{
    jm_integrator *g;
    struct jm_energy e;
    int64_t end_ns = jm_now_ns() + (int64_t)(fmin(fmax(seconds, 0.0), 1e9) * 1e9);
    jm_status st = jm_integrator_start(ops, meter, 0, NULL, &g, err);

    *idle_w = (double)NAN;
    if (st != JM_OK)
        return st;
    for (;;) {
        int64_t left_ns = end_ns - jm_now_ns();
        if (left_ns <= 0 || (stop && *stop))
            break;
        left_ns = left_ns < 100000000 ? left_ns : 100000000;
        nanosleep(&(struct timespec){ .tv_nsec = (long)left_ns }, NULL);
    }
    jm_integrator_stop(g, &e);
    if (stop && *stop)
        return jm_fail(err, JM_EINTERRUPTED, "the idle measurement was interrupted");
    if (!e.available)
        return jm_fail(err, JM_EDEVICE, "idle power: %s", e.reason);
    *idle_w = e.average_w;
    return JM_OK;
}
