/* SPDX-License-Identifier: Apache-2.0 */
/* See recorder.h. Readings at the edges of a phase are made by the caller's thread under the lock;
 * a slow meter's are made by the thread alone, without it, so that nobody waits for them. */
#include "harness/energy/recorder.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static const double most_w = 1000.0; /* a domain's power, for the reading interval */
static const double default_interval_s = 0.1;

struct jm_recorder {
    const struct jm_meter_ops *ops;
    jm_meter *meter;
    struct jm_series series; /* of a late meter: the thread's; else under lock */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running, stop;
    bool late; /* readings are not made at marks */
    int64_t interval_ns, mark_ns, patience_ns;
};

static void sink(int64_t t_ns, const double *value, void *user)
{
    struct jm_recorder *r = user;
    jm_series_add(&r->series, t_ns, value, 0, false);
}

static int64_t take(struct jm_recorder *r, bool edge)
{
    double value[JM_METER_DOMAINS];
    uint32_t wraps = 0;
    jm_err err = { .status = JM_OK };
    int64_t t_ns = jm_now_ns();

    if (r->ops->drain) {
        if (r->ops->drain(r->meter, sink, r, &err) != JM_OK)
            jm_series_fault(&r->series, t_ns, t_ns, err.text);
    } else if (r->ops->read(r->meter, value, &wraps, &err) != JM_OK) {
        jm_series_fault(&r->series, t_ns, t_ns,
                        err.text[0] ? err.text : "the energy meter could not be read");
    } else {
        jm_series_add(&r->series, t_ns, value, wraps, edge);
    }
    return t_ns;
}

/* Called without the lock by the thread of a late meter. */
static bool has_covered(const struct jm_recorder *r, int64_t mark_ns)
{
    const struct jm_series *s = &r->series;
    return (s->n && s->t_ns[s->n - 1] >= mark_ns) || jm_now_ns() > mark_ns + r->patience_ns;
}

/* Waits for *at or a stop; true: stop. */
static bool wait_until(struct jm_recorder *r, struct timespec *at)
{
    int rc = 0;
    int64_t ns = at->tv_nsec + r->interval_ns;
    struct timespec now;

    at->tv_sec += (time_t)(ns / 1000000000);
    at->tv_nsec = (long)(ns % 1000000000);
    while (!r->stop && rc == 0)
        rc = pthread_cond_timedwait(&r->wake, &r->lock, at);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > at->tv_sec) /* held up: do not catch up with a burst of reads */
        *at = now;
    return r->stop;
}

static void finish_late(struct jm_recorder *r)
{
    int64_t mark_ns = r->mark_ns, part_ns = r->interval_ns < 50000000 ? r->interval_ns : 50000000;

    while (!has_covered(r, mark_ns)) {
        take(r, false);
        if (!has_covered(r, mark_ns))
            nanosleep(&(struct timespec){ .tv_nsec = (long)part_ns }, NULL);
    }
}

static void *record(void *arg)
{
    struct jm_recorder *r = arg;
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    pthread_mutex_lock(&r->lock);
    while (!wait_until(r, &at)) {
        if (r->late)
            pthread_mutex_unlock(&r->lock);
        take(r, false);
        if (r->late)
            pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    if (r->late)
        finish_late(r);
    return NULL;
}

/* Below range / (2 * most_w), so that no counter can wrap twice between readings. */
static int64_t interval_ns(const struct jm_recorder *r, double interval_s)
{
    double s = interval_s > 0.0           ? interval_s
               : r->ops->interval_s > 0.0 ? r->ops->interval_s
                                          : default_interval_s;

    for (uint32_t i = 0; i < r->series.domains; i++) {
        const struct jm_meter_domain *d = &r->series.domain[i];
        if (d->kind == JM_METER_COUNTER && d->counted && d->range_j > 0.0)
            s = fmin(s, d->range_j / (2.0 * most_w));
    }
    return (int64_t)(fmin(fmax(s, 0.001), 3600.0) * 1e9);
}

static double patience_s(const struct jm_recorder *r)
{
    double s = 2e-9 * (double)r->interval_ns + r->ops->update_s;

    for (uint32_t i = 0; i < r->series.domains; i++)
        s = fmax(s, r->series.domain[i].gap_s);
    return s;
}

static int thread_start(struct jm_recorder *r)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&r->thread, NULL, record, r);
    r->running = rc == 0;
    if (rc != 0) {
        pthread_cond_destroy(&r->wake);
        pthread_mutex_destroy(&r->lock);
    }
    return rc;
}

jm_status jm_recorder_start(const struct jm_meter_ops *ops, jm_meter *meter, double interval_s,
                            jm_recorder **out, jm_err *err)
{
    jm_recorder *r = calloc(1, sizeof *r);

    *out = NULL;
    if (!r)
        return jm_fail(err, JM_ENOMEM, "%s: no memory for an energy reader", ops->name);
    r->ops = ops;
    r->meter = meter;
    r->late = ops->slow || ops->drain;
    jm_status st = jm_series_init(&r->series, ops, meter, 0, err);
    if (st == JM_OK) {
        r->interval_ns = interval_ns(r, interval_s);
        r->patience_ns = (int64_t)(patience_s(r) * 1e9);
        r->mark_ns = take(r, true);
        int rc = thread_start(r);
        if (rc != 0)
            st = jm_fail(err, JM_EIO, "%s: the energy reader's thread does not start: %s",
                         ops->name, strerror(rc));
    }
    if (st != JM_OK) {
        jm_recorder_free(r);
        return st;
    }
    *out = r;
    return JM_OK;
}

int64_t jm_recorder_mark(jm_recorder *r)
{
    pthread_mutex_lock(&r->lock);
    r->mark_ns = r->late ? jm_now_ns() : take(r, true);
    int64_t t_ns = r->mark_ns;
    pthread_mutex_unlock(&r->lock);
    return t_ns;
}

void jm_recorder_stop(jm_recorder *r)
{
    if (!r->running)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    r->running = false;
}

int64_t jm_recorder_cpu_ns(const jm_recorder *r)
{
    clockid_t clock;
    struct timespec t;

    if (!r->running || pthread_getcpuclockid(r->thread, &clock) != 0 ||
        clock_gettime(clock, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

const struct jm_series *jm_recorder_series(const jm_recorder *r)
{
    return &r->series;
}

double jm_recorder_interval_s(const jm_recorder *r)
{
    return (double)r->interval_ns * 1e-9;
}

void jm_recorder_free(jm_recorder *r)
{
    if (!r)
        return;
    if (r->running) { /* nobody asks for what covers the last mark */
        pthread_mutex_lock(&r->lock);
        r->mark_ns = INT64_MIN;
        pthread_mutex_unlock(&r->lock);
    }
    jm_recorder_stop(r);
    jm_series_free(&r->series);
    free(r);
}

enum { CHANGES = 8, LEAST = 4 }; /* seen of each counter: wanted, and needed to believe it */

struct watched {
    bool watch;
    int changes; /* -1: no value yet */
    double last, longest_s;
    int64_t changed_ns;
};

/* False: something counted is no counter. */
static bool watch_all(const struct jm_meter_ops *ops, const jm_meter *meter, struct watched *w)
{
    for (uint32_t i = 0; i < ops->count(meter); i++) {
        struct jm_meter_domain d;
        ops->domain(meter, i, &d);
        w[i] = (struct watched){ .watch = d.counted, .changes = -1 };
        if (d.counted && d.kind != JM_METER_COUNTER)
            return false;
    }
    return true;
}

/* True once it has changed as often as wanted. */
static bool watch_one(struct watched *w, double value, int64_t now_ns)
{
    if (w->changes >= 0 && value == w->last)
        return w->changes >= CHANGES;
    if (w->changes > 0) /* the time before the first change is a part of a period only */
        w->longest_s = fmax(w->longest_s, (double)(now_ns - w->changed_ns) * 1e-9);
    w->last = value;
    w->changed_ns = now_ns;
    return ++w->changes >= CHANGES;
}

static double claimed_s(const struct jm_meter_ops *ops, const jm_meter *meter)
{
    double s = 0.0;

    for (uint32_t i = 0; i < ops->count(meter); i++) {
        struct jm_meter_domain d;
        ops->domain(meter, i, &d);
        if (d.counted)
            s = fmax(s, d.update_s > 0.0 ? d.update_s : ops->update_s);
    }
    return s;
}

double jm_meter_update_s(const struct jm_meter_ops *ops, jm_meter *meter, double limit_s)
{
    double value[JM_METER_DOMAINS], longest_s = 0.0;
    struct watched w[JM_METER_DOMAINS];
    uint32_t wraps, n = ops->count(meter);
    int64_t start_ns = jm_now_ns();
    bool done = false;

    if (ops->slow || !ops->read || ops->estimated || !watch_all(ops, meter, w))
        return claimed_s(ops, meter);
    while (!done && (double)(jm_now_ns() - start_ns) * 1e-9 < limit_s) {
        if (ops->read(meter, value, &wraps, NULL) != JM_OK)
            return claimed_s(ops, meter);
        int64_t now_ns = jm_now_ns();
        done = true;
        for (uint32_t i = 0; i < n; i++)
            done &= !w[i].watch || watch_one(&w[i], value[i], now_ns);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (w[i].watch && w[i].changes < LEAST)
            return claimed_s(ops, meter);
        longest_s = w[i].watch ? fmax(longest_s, w[i].longest_s) : longest_s;
    }
    return longest_s;
}
