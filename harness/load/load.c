/* SPDX-License-Identifier: Apache-2.0 */
/* See load.h. Definitions of scenarios and equal issue follow MLPerf Inference's rules: whole
 * copies, so that no sample weighs more than another. */
#include "harness/load/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/rng.h"

enum {
    STALL_STEPS = 65536,
    WARM_WINDOW = 64, /* samples in flight in an offline warm-up: enough to fill a batch */
};

static const double default_stall_s = 60.0;
static const int64_t progress_ns = 200000000;
/* A little more load than the warm-up rate asks for, as that rate contains cold caches. */
static const double offline_margin = 1.05;

struct run {
    const struct jm_sut *sut;
    const struct jm_load_config *cfg;
    struct jm_sink sink;       /* capacity: whole copies that fit max_ids */
    struct jm_sample *samples; /* [sink.capacity] offline, [1] single-stream */
    uint32_t *order;           /* [sut->n_samples], the shuffled copy being issued */
    uint32_t at;               /* next place in order */
    uint32_t issued;
    jm_rng rng;
    int64_t stall_ns, stalled_since_ns, progress_at_ns;
    uint32_t stalled_steps;
    double rate; /* answers a second in warm-up */
};

static double seconds(int64_t ns)
{
    return (double)ns * 1e-9;
}

static bool stopped(const struct run *r)
{
    return r->cfg->stop && *r->cfg->stop;
}

static jm_status interrupted(jm_err *err)
{
    return jm_fail(err, JM_EINTERRUPTED, "the run was interrupted before its end");
}

/* Fisher-Yates over the order left by the copy before. */
static void order_shuffle(struct run *r)
{
    for (uint32_t i = r->sut->n_samples; i > 1; i--) {
        uint32_t j = (uint32_t)jm_rng_below(&r->rng, i), t = r->order[i - 1];
        r->order[i - 1] = r->order[j];
        r->order[j] = t;
    }
    r->at = 0;
}

/* Forgets what was issued; the next sample opens a copy that only the seed decides. */
static jm_status run_begin(struct run *r, uint32_t max_ids, jm_err *err)
{
    memset(r->sink.timing, 0, (size_t)max_ids * sizeof r->sink.timing[0]);
    r->sink.done = 0;
    r->issued = 0;
    r->stalled_steps = 0;
    r->rng = (jm_rng){ .state = r->cfg->seed };
    for (uint32_t i = 0; i < r->sut->n_samples; i++)
        r->order[i] = i;
    order_shuffle(r);
    return r->sut->begin(r->sut->state, max_ids, err);
}

/* Prepares the sample of the next id; the caller stamps it and gives it to the system. */
static struct jm_sample sample_next(struct run *r)
{
    if (r->at == r->sut->n_samples)
        order_shuffle(r);
    struct jm_sample s = { .id = r->issued, .index = r->order[r->at++] };
    r->sink.timing[s.id].index = s.index;
    r->issued++;
    return s;
}

/* One step, under watch. The clock is read only once a stall is likely. */
static jm_status run_step(struct run *r, jm_err *err)
{
    uint32_t before = r->sink.done;

    if (stopped(r))
        return interrupted(err);
    jm_status st = r->sut->step(r->sut->state, &r->sink, err);
    if (st != JM_OK)
        return st;
    if (r->sink.done > r->issued)
        return jm_fail(err, JM_EDEVICE, "the system under test gave %u answers to %u samples",
                       r->sink.done, r->issued);
    if (r->sink.done != before) {
        r->stalled_steps = 0;
        return JM_OK;
    }
    if (r->stalled_steps == 0)
        r->stalled_since_ns = jm_now_ns();
    if (r->stalled_steps < STALL_STEPS)
        r->stalled_steps++;
    else if (jm_now_ns() - r->stalled_since_ns >= r->stall_ns)
        return jm_fail(err, JM_EDEVICE,
                       "the system under test gave no answer for %.3g s (%u of %u samples done)",
                       seconds(r->stall_ns), r->sink.done, r->issued);
    return JM_OK;
}

static void report(struct run *r, double fraction, int64_t now_ns)
{
    if (!r->cfg->progress || now_ns - r->progress_at_ns < progress_ns)
        return;
    r->progress_at_ns = now_ns;
    r->cfg->progress(fraction < 1.0 ? fraction : 1.0, r->cfg->user);
}

static jm_status warm_fill(struct run *r, uint32_t flight, jm_err *err)
{
    struct jm_sample batch[WARM_WINDOW];
    uint32_t n = 0;

    while (r->issued < r->sink.capacity && r->issued - r->sink.done < flight) {
        batch[n] = sample_next(r);
        r->sink.timing[batch[n].id].issue_ns = jm_now_ns();
        n++;
    }
    return n ? r->sut->issue(r->sut->state, batch, n, err) : JM_OK;
}

/* Runs for warmup_s, then until the queue is empty. The rate is that of the second half, where a
 * batch is full, or of the whole where that says more. */
static jm_status run_warmup(struct run *r, struct jm_load_result *out, jm_err *err)
{
    uint32_t flight = r->cfg->scenario == JM_OFFLINE ? WARM_WINDOW : 1;
    jm_status st = run_begin(r, r->sink.capacity, err);
    int64_t t0 = jm_now_ns(), end = t0 + (int64_t)(r->cfg->warmup_s * 1e9), now = t0, half_ns = 0;
    uint64_t done = 0, half_done = 0;

    while (st == JM_OK) {
        bool more = now < end || (done == 0 && r->issued == 0);
        if (!more && r->sink.done == r->issued)
            break;
        if (more && r->sink.done == r->sink.capacity)
            st = run_begin(r, r->sink.capacity, err);
        if (st == JM_OK && more)
            st = warm_fill(r, flight, err);
        uint32_t before = r->sink.done;
        if (st == JM_OK)
            st = run_step(r, err);
        now = jm_now_ns();
        done += r->sink.done - before;
        if (half_ns == 0 && now - t0 >= (end - t0) / 2) {
            half_ns = now;
            half_done = done;
        }
        if (more && now > t0) {
            double whole = (double)done / seconds(now - t0);
            double late = half_ns && now - half_ns > (end - t0) / 4
                              ? (double)(done - half_done) / seconds(now - half_ns)
                              : 0.0;
            r->rate = fmax(whole, late);
        }
    }
    if (r->rate <= 0.0 && now > t0)
        r->rate = (double)done / seconds(now - t0);
    out->warmup_s = seconds(now - t0);
    return st;
}

static double fraction_done(const struct jm_load_config *cfg, double elapsed_s, uint32_t n)
{
    double a = cfg->min_duration_s > 0.0 ? elapsed_s / cfg->min_duration_s : 1.0;
    double b = cfg->min_queries > 0 ? (double)n / (double)cfg->min_queries : 1.0;
    return a < b ? a : b;
}

/* Two clock reads a query: at issue and, in the sink, at completion. */
static jm_status measure_single(struct run *r, struct jm_load_result *out, jm_err *err)
{
    const struct jm_load_config *cfg = r->cfg;
    int64_t last_ns = jm_now_ns();

    out->t_start_ns = last_ns;
    for (;;) {
        bool boundary = r->issued % r->sut->n_samples == 0;
        double elapsed_s = seconds(last_ns - out->t_start_ns);
        if (boundary && r->issued > 0) {
            if (elapsed_s >= cfg->min_duration_s && r->issued >= cfg->min_queries)
                return JM_OK;
            if (r->issued == r->sink.capacity) {
                out->capped = true;
                return JM_OK;
            }
        }
        if (stopped(r))
            return interrupted(err);
        struct jm_sample s = sample_next(r);
        struct jm_timing *t = &r->sink.timing[s.id];
        t->issue_ns = jm_now_ns();
        jm_status st = r->sut->issue(r->sut->state, &s, 1, err);
        while (st == JM_OK && r->sink.done < r->issued)
            st = run_step(r, err);
        if (st != JM_OK)
            return st;
        last_ns = t->done_ns;
        if (last_ns == 0)
            return jm_fail(err, JM_EDEVICE, "the system under test answered another sample than %u",
                           s.id);
        report(r, fraction_done(cfg, elapsed_s, r->issued), last_ns);
    }
}

/* Whole copies for the offline window, from the warm-up rate. */
static uint32_t offline_total(const struct run *r, struct jm_load_result *out)
{
    double n = r->sut->n_samples;
    double want =
        fmax((double)r->cfg->min_queries, r->rate * r->cfg->min_duration_s * offline_margin);
    double copies = fmax(1.0, ceil(want / n));

    if (copies * n <= (double)r->sink.capacity)
        return (uint32_t)(copies * n);
    out->capped = true;
    return r->sink.capacity;
}

static jm_status measure_offline(struct run *r, struct jm_load_result *out, uint32_t total,
                                 jm_err *err)
{
    out->t_start_ns = jm_now_ns();
    for (uint32_t i = 0; i < total; i++)
        r->sink.timing[i].issue_ns = out->t_start_ns;
    jm_status st = r->sut->issue(r->sut->state, r->samples, total, err);
    while (st == JM_OK && r->sink.done < total) {
        st = run_step(r, err);
        if (r->cfg->progress)
            report(r, (double)r->sink.done / (double)total, jm_now_ns());
    }
    return st;
}

/* Counts real completions, and finds the last. */
static jm_status collect(struct run *r, struct jm_load_result *out, jm_err *err)
{
    uint32_t n = 0;

    out->t_end_ns = out->t_start_ns;
    for (uint32_t i = 0; i < r->issued; i++) {
        int64_t done_ns = r->sink.timing[i].done_ns;
        if (done_ns == 0)
            continue;
        n++;
        if (done_ns > out->t_end_ns)
            out->t_end_ns = done_ns;
    }
    out->issued = r->issued;
    out->n = n;
    out->copies = n / r->sut->n_samples;
    if (n != r->sink.done)
        return jm_fail(err, JM_EDEVICE, "the system under test answered some samples twice");
    return JM_OK;
}

static jm_status run_measured(struct run *r, struct jm_load_result *out, jm_err *err)
{
    bool offline = r->cfg->scenario == JM_OFFLINE;
    uint32_t total = offline ? offline_total(r, out) : r->sink.capacity;
    jm_status st = run_begin(r, total, err);

    if (st != JM_OK)
        return st;
    for (uint32_t i = 0; offline && i < total; i++)
        r->samples[i] = sample_next(r);
    if (r->cfg->window)
        st = r->cfg->window(true, r->cfg->user, err);
    if (st != JM_OK) {
        r->issued = 0;
        return st;
    }
    r->progress_at_ns = jm_now_ns();
    st = offline ? measure_offline(r, out, total, err) : measure_single(r, out, err);
    jm_status wst = r->cfg->window ? r->cfg->window(false, r->cfg->user, err) : JM_OK;
    jm_status cst = collect(r, out, err);
    if (st != JM_OK)
        return st;
    return cst != JM_OK ? cst : wst;
}

static jm_status run_check(const struct jm_sut *sut, const struct jm_load_config *cfg, jm_err *err)
{
    if (sut->n_samples == 0)
        return jm_fail(err, JM_EUSAGE, "the data set has no samples");
    if (cfg->scenario != JM_SINGLE_STREAM && cfg->scenario != JM_OFFLINE)
        return jm_fail(err, JM_EUSAGE, "scenario number %d does not exist", (int)cfg->scenario);
    /* Up to 30 years: nanoseconds stay far from the end of 63 bits. NaN fails too. */
    if (!(cfg->warmup_s >= 0.0 && cfg->warmup_s <= 1e9) ||
        !(cfg->min_duration_s >= 0.0 && cfg->min_duration_s <= 1e9) ||
        !(cfg->stall_s >= 0.0 && cfg->stall_s <= 1e9))
        return jm_fail(err, JM_EUSAGE, "warm-up, duration and stall limit must be 0 to 1e9 s");
    if (cfg->max_ids < sut->n_samples)
        return jm_fail(err, JM_EUSAGE,
                       "the data set has %u samples but at most %u are allowed in a run",
                       sut->n_samples, cfg->max_ids);
    return JM_OK;
}

jm_status jm_load_run(const struct jm_sut *sut, const struct jm_load_config *cfg,
                      struct jm_load_result *out, jm_err *err)
{
    *out = (struct jm_load_result){ 0 };
    jm_status st = run_check(sut, cfg, err);
    if (st != JM_OK)
        return st;

    uint32_t capacity = cfg->max_ids - cfg->max_ids % sut->n_samples;
    struct run r = { .sut = sut, .cfg = cfg };
    size_t bytes;
    r.stall_ns = (int64_t)((cfg->stall_s > 0.0 ? cfg->stall_s : default_stall_s) * 1e9);
    r.order = calloc(sut->n_samples, sizeof r.order[0]);
    r.samples = calloc(cfg->scenario == JM_OFFLINE ? capacity : 1, sizeof r.samples[0]);
    if (jm_mul_size(capacity, sizeof out->timings[0], &bytes))
        out->timings = malloc(bytes);
    if (!r.order || !r.samples || !out->timings) {
        st = jm_fail(err, JM_ENOMEM, "no memory for the times of %u samples; lower the limit",
                     capacity);
        goto done;
    }
    r.sink = (struct jm_sink){ .timing = out->timings, .capacity = capacity };
    st = run_warmup(&r, out, err);
    if (st == JM_OK)
        st = run_measured(&r, out, err);
done:
    free(r.order);
    free(r.samples);
    return st;
}

void jm_load_result_free(struct jm_load_result *r)
{
    if (!r)
        return;
    free(r->timings);
    *r = (struct jm_load_result){ 0 };
}
