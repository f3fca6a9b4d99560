/* SPDX-License-Identifier: Apache-2.0 */
/* See load.h. Definitions of scenarios and equal issue follow MLPerf Inference's rules: whole
 * copies, so that no sample weighs more than another. The scenarios are in streams.c, offline.c
 * and server.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/clock.h"
#include "harness/load/state.h"

enum {
    STALL_STEPS = 65536,
    WARM_WINDOW = 64,   /* samples in flight in a warm-up that fills batches */
    WARM_IDS = 65536,   /* samples that a warm-up numbers before it begins again from 0 */
    LEAST_ROOM = 65536, /* samples that streams have room for, whatever the warm-up's rate */
    HUGE_PAGE = 2 << 20,
};

/* Streams end by the clock: room for more than the warm-up's rate fills, as it contains cold
 * caches and other programs' moments. */
static const double stream_margin = 2.0;

static const double default_stall_s = 60.0;
static const int64_t progress_ns = 200000000;

static double seconds(int64_t ns)
{
    return (double)ns * 1e-9;
}

jm_status jm_load_interrupted(jm_err *err)
{
    return jm_fail(err, JM_EINTERRUPTED, "the run was interrupted before its end");
}

/* Fisher-Yates over the order left by the copy before. */
static void order_shuffle(struct jm_load_state *r)
{
    for (uint32_t i = r->sut->n_samples; i > 1; i--) {
        uint32_t j = (uint32_t)jm_rng_below(&r->rng, i), t = r->order[i - 1];
        r->order[i - 1] = r->order[j];
        r->order[j] = t;
    }
    r->at = 0;
}

jm_status jm_load_begin(struct jm_load_state *r, uint32_t max_ids, jm_err *err)
{
    memset(r->sink.timing, 0, (size_t)max_ids * sizeof r->sink.timing[0]);
    r->sink = (struct jm_sink){ .timing = r->sink.timing };
    r->issued = 0;
    r->stalled_steps = 0;
    r->rng = (jm_rng){ .state = r->cfg->seed };
    for (uint32_t i = 0; i < r->sut->n_samples; i++)
        r->order[i] = i;
    order_shuffle(r);
    return r->sut->begin(r->sut->state, max_ids, err);
}

struct jm_sample jm_load_next(struct jm_load_state *r)
{
    if (r->at == r->sut->n_samples)
        order_shuffle(r);
    struct jm_sample s = { .id = r->issued, .index = r->order[r->at++] };
    r->sink.timing[s.id].index = s.index;
    r->issued++;
    return s;
}

/* An answer that is not to an open sample: nothing else of the run can be believed. */
static jm_status fault(const struct jm_load_state *r, jm_err *err)
{
    uint32_t id = r->sink.fault_id;
    if (id < r->sink.capacity)
        return jm_fail(err, JM_EDEVICE, "the system under test answered sample %u twice", id);
    return jm_fail(err, JM_EDEVICE,
                   "the system under test answered sample %u, which was never issued", id);
}

/* The clock is read only once a stall is likely. */
jm_status jm_load_step(struct jm_load_state *r, jm_err *err)
{
    uint32_t before = r->sink.done;

    if (jm_load_stopped(r))
        return jm_load_interrupted(err);
    jm_status st = r->sut->step(r->sut->state, &r->sink, err);
    if (st != JM_OK)
        return st;
    if (r->sink.faults)
        return fault(r, err);
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
                       seconds(r->stall_ns), r->sink.done, r->sink.capacity);
    return JM_OK;
}

void jm_load_report(struct jm_load_state *r, double fraction, int64_t now_ns)
{
    if (!r->cfg->progress || now_ns - r->progress_at_ns < progress_ns)
        return;
    r->progress_at_ns = now_ns;
    r->cfg->progress(fraction < 1.0 ? fraction : 1.0, r->cfg->user);
}

/* Uninitialised; NULL: no memory. Many samples lie in huge pages where the OS has them (a wish):
 * with small ones a window that only writes times takes a third longer. */
static void *take(size_t n, size_t each)
{
    size_t bytes, whole;
    if (!jm_mul_size(n, each, &bytes) || !jm_add_size(bytes, HUGE_PAGE - 1, &whole))
        return NULL;
    if (bytes < HUGE_PAGE)
        return malloc(bytes);
    void *p = aligned_alloc(HUGE_PAGE, whole - whole % HUGE_PAGE);
    if (p)
        (void)madvise(p, whole - whole % HUGE_PAGE, MADV_HUGEPAGE);
    return p;
}

/* Takes memory for the times of n samples, and for samples prepared ahead. */
static jm_status room_for(struct jm_load_state *r, uint32_t n, bool ahead, jm_err *err)
{
    free(r->sink.timing);
    free(r->samples);
    r->sink.timing = NULL;
    r->samples = NULL;
    r->room = 0;
    r->sink.timing = take(n, sizeof r->sink.timing[0]);
    if (ahead)
        r->samples = take(n, sizeof r->samples[0]);
    if (!r->sink.timing || (ahead && !r->samples))
        return jm_fail(err, JM_ENOMEM, "no memory for the times of %u samples; lower the limit", n);
    r->room = n;
    return JM_OK;
}

static jm_status warm_fill(struct jm_load_state *r, uint32_t flight, jm_err *err)
{
    struct jm_sample batch[WARM_WINDOW];
    uint32_t n = 0;

    while (r->issued < r->room && r->issued - r->sink.done < flight) {
        batch[n] = jm_load_next(r);
        r->sink.timing[batch[n].id].issue_ns = jm_now_ns();
        n++;
    }
    r->sink.capacity = r->issued;
    return n ? r->sut->issue(r->sut->state, batch, n, err) : JM_OK;
}

static uint32_t warm_flight(const struct jm_load_config *cfg)
{
    if (cfg->scenario == JM_SINGLE_STREAM)
        return 1;
    if (cfg->scenario == JM_MULTI_STREAM && cfg->samples_per_query < WARM_WINDOW)
        return cfg->samples_per_query;
    return WARM_WINDOW;
}

/* Runs for warmup_s, then until the queue is empty. The rate is that of the second half, where a
 * batch is full, or of the whole where that says more. */
static jm_status run_warmup(struct jm_load_state *r, struct jm_load_result *out, jm_err *err)
{
    uint32_t flight = warm_flight(r->cfg);
    jm_status st = room_for(r, r->limit < WARM_IDS ? r->limit : WARM_IDS, false, err);
    if (st == JM_OK)
        st = jm_load_begin(r, r->room, err);
    int64_t t0 = jm_now_ns(), end = t0 + (int64_t)(r->cfg->warmup_s * 1e9), now = t0, half_ns = 0;
    uint64_t done = 0, half_done = 0;

    while (st == JM_OK) {
        bool more = now < end || (done == 0 && r->issued == 0);
        if (!more && r->sink.done == r->issued)
            break;
        if (more && r->sink.done == r->room)
            st = jm_load_begin(r, r->room, err);
        if (st == JM_OK && more)
            st = warm_fill(r, flight, err);
        uint32_t before = r->sink.done;
        if (st == JM_OK)
            st = jm_load_step(r, err);
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
    out->warmup_rate = r->rate;
    return st;
}

/* Counts real completions one by one, and finds the last. */
static jm_status collect(struct jm_load_state *r, struct jm_load_result *out, jm_err *err)
{
    uint32_t n = 0;

    out->t_end_ns = out->t_start_ns;
    out->issued = r->sink.capacity;
    for (uint32_t i = 0; i < out->issued; i++) {
        int64_t done_ns = r->sink.timing[i].done_ns;
        if (done_ns == 0)
            continue;
        n++;
        if (done_ns > out->t_end_ns)
            out->t_end_ns = done_ns;
    }
    out->n = n;
    out->copies = n / r->sut->n_samples;
    if (n != r->sink.done)
        return jm_fail(err, JM_EDEVICE, "%u answers were counted and %u have a time", r->sink.done,
                       n);
    return JM_OK;
}

/* Samples that single-stream and multi-stream may need: whole copies, within the limit. */
static uint32_t stream_room(const struct jm_load_state *r)
{
    double n = r->sut->n_samples;
    double want =
        fmax((double)r->cfg->min_queries, stream_margin * r->rate * r->cfg->min_duration_s);
    double copies = ceil(fmax(want, LEAST_ROOM) / n);
    return copies * n < (double)r->limit ? (uint32_t)(copies * n) : r->limit;
}

/* Everything that need not happen inside the window. */
static jm_status prepare(struct jm_load_state *r, struct jm_load_result *out, uint32_t *total,
                         jm_err *err)
{
    enum jm_scenario scenario = r->cfg->scenario;

    *total = scenario == JM_OFFLINE  ? jm_load_offline_total(r, out)
             : scenario == JM_SERVER ? jm_load_server_total(r, out)
                                     : stream_room(r);
    bool ahead = scenario == JM_OFFLINE || scenario == JM_SERVER;
    jm_status st = room_for(r, *total, ahead, err);
    if (st == JM_OK)
        st = jm_load_begin(r, *total, err);
    for (uint32_t i = 0; st == JM_OK && r->samples && i < *total; i++)
        r->samples[i] = jm_load_next(r);
    if (st == JM_OK && scenario == JM_SERVER)
        jm_load_server_schedule(r, *total);
    return st;
}

static jm_status run_measured(struct jm_load_state *r, struct jm_load_result *out, jm_err *err)
{
    const struct jm_load_config *cfg = r->cfg;
    uint32_t total;
    jm_status st = prepare(r, out, &total, err);

    if (st == JM_OK && cfg->window)
        st = cfg->window(true, cfg->user, err);
    if (st != JM_OK)
        return st;
    r->progress_at_ns = jm_now_ns();
    if (cfg->scenario == JM_OFFLINE)
        st = jm_load_offline(r, total, out, err);
    else if (cfg->scenario == JM_SERVER)
        st = jm_load_server(r, total, out, err);
    else
        st = jm_load_streams(r, cfg->scenario == JM_MULTI_STREAM ? cfg->samples_per_query : 1, out,
                             err);
    jm_status wst = cfg->window ? cfg->window(false, cfg->user, err) : JM_OK;
    jm_status cst = collect(r, out, err);
    if (st != JM_OK)
        return st;
    return cst != JM_OK ? cst : wst;
}

static bool up_to(double v, double max)
{
    return v >= 0.0 && v <= max; /* NaN fails */
}

static jm_status check_server(const struct jm_load_config *cfg, jm_err *err)
{
    if (!(cfg->target_qps >= 1e-6 && cfg->target_qps <= 1e9))
        return jm_fail(err, JM_EUSAGE, "the server scenario needs a rate of 1e-6 to 1e9 queries/s");
    if (!up_to(cfg->latency_s, 1e6) || !up_to(cfg->ttft_s, 1e6) || !up_to(cfg->tpot_s, 1e6))
        return jm_fail(err, JM_EUSAGE, "bounds of latency must be 0 to 1e6 s");
    if (cfg->latency_s == 0.0 && cfg->ttft_s == 0.0 && cfg->tpot_s == 0.0)
        return jm_fail(err, JM_EUSAGE,
                       "the server scenario needs a bound of latency, of time to the first token, "
                       "or of time per token");
    return JM_OK;
}

static jm_status run_check(const struct jm_sut *sut, const struct jm_load_config *cfg, jm_err *err)
{
    if (sut->n_samples == 0)
        return jm_fail(err, JM_EUSAGE, "the data set has no samples");
    if ((unsigned)cfg->scenario > JM_OFFLINE)
        return jm_fail(err, JM_EUSAGE, "scenario number %d does not exist", (int)cfg->scenario);
    /* Up to 30 years: nanoseconds stay far from the end of 63 bits. */
    if (!up_to(cfg->warmup_s, 1e9) || !up_to(cfg->min_duration_s, 1e9) || !up_to(cfg->stall_s, 1e9))
        return jm_fail(err, JM_EUSAGE, "warm-up, duration and stall limit must be 0 to 1e9 s");
    if (cfg->max_ids < (cfg->probe ? 1 : sut->n_samples))
        return jm_fail(err, JM_EUSAGE,
                       "the data set has %u samples but at most %u are allowed in a run",
                       sut->n_samples, cfg->max_ids);
    if (cfg->scenario == JM_MULTI_STREAM &&
        (cfg->samples_per_query == 0 || cfg->samples_per_query > sut->n_samples))
        return jm_fail(err, JM_EUSAGE,
                       "a query of %u samples cannot be made of a data set of %u; choose 1 to %u",
                       cfg->samples_per_query, sut->n_samples, sut->n_samples);
    return cfg->scenario == JM_SERVER ? check_server(cfg, err) : JM_OK;
}

/* Memory for samples is taken once it is known how many there will be. */
static jm_status state_open(const struct jm_sut *sut, const struct jm_load_config *cfg,
                            struct jm_load_state *r, struct jm_load_result *out, jm_err *err)
{
    *r = (struct jm_load_state){ .sut = sut, .cfg = cfg };
    *out = (struct jm_load_result){ 0 };
    jm_status st = run_check(sut, cfg, err);
    if (st != JM_OK)
        return st;

    bool any = cfg->probe && cfg->scenario == JM_SERVER;
    r->limit = any ? cfg->max_ids : cfg->max_ids - cfg->max_ids % sut->n_samples;
    r->stall_ns = (int64_t)((cfg->stall_s > 0.0 ? cfg->stall_s : default_stall_s) * 1e9);
    r->order = calloc(sut->n_samples, sizeof r->order[0]);
    return r->order ? JM_OK : jm_fail(err, JM_ENOMEM, "no memory for the order of the samples");
}

/* The times of a measured window go to out. */
static void state_close(struct jm_load_state *r, struct jm_load_result *out)
{
    if (out && out->issued > 0)
        out->timings = r->sink.timing;
    else
        free(r->sink.timing);
    free(r->order);
    free(r->samples);
}

jm_status jm_load_run(const struct jm_sut *sut, const struct jm_load_config *cfg,
                      struct jm_load_result *out, jm_err *err)
{
    struct jm_load_state r;
    jm_status st = state_open(sut, cfg, &r, out, err);

    if (st == JM_OK)
        st = run_warmup(&r, out, err);
    if (st == JM_OK)
        st = run_measured(&r, out, err);
    state_close(&r, out);
    return st;
}

jm_status jm_load_warmup_rate(const struct jm_sut *sut, const struct jm_load_config *cfg,
                              double *rate, jm_err *err)
{
    struct jm_load_state r;
    struct jm_load_result out;
    jm_status st = state_open(sut, cfg, &r, &out, err);

    if (st == JM_OK)
        st = run_warmup(&r, &out, err);
    *rate = st == JM_OK ? out.warmup_rate : (double)NAN;
    state_close(&r, NULL);
    jm_load_result_free(&out);
    return st;
}

/* Latencies are sorted as doubles once the window is over, when samples that were prepared ahead
 * are freed; both are counted. */
size_t jm_load_bytes_per_sample(void)
{
    return sizeof(struct jm_timing) + sizeof(struct jm_sample) + sizeof(double);
}

void jm_load_result_free(struct jm_load_result *r)
{
    if (!r)
        return;
    free(r->timings);
    *r = (struct jm_load_result){ 0 };
}
