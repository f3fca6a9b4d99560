/* SPDX-License-Identifier: Apache-2.0 */
/* See run.h. No latencies are taken here, so samples are drawn at random and nothing is waited for
 * at the end. */
#include "harness/roofline/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "harness/memory_line.h"

jm_status jm_roofline_roofs(const struct jm_backend_ops *ops, jm_device *dev, struct jm_roofline *r,
                            jm_err *err)
{
    ops->info(dev, &r->device);
    snprintf(r->backend, sizeof r->backend, "%s", ops->name);
    if (!ops->roofs)
        return jm_fail(err, JM_EUNSUPPORTED, "backend %s cannot measure its limits", ops->name);
    uint32_t all = r->device.threads;
    for (uint32_t threads = 1;;) {
        struct jm_roof roof[JM_MAX_ROOFS];
        uint32_t n;
        jm_status st = ops->roofs(dev, threads, roof, &n, err);
        if (st != JM_OK)
            return st;
        for (uint32_t i = 0; i < n && r->n_roofs < JM_ROOFS; i++)
            r->roof[r->n_roofs++] = roof[i];
        if (threads == all)
            return JM_OK;
        uint32_t next = all <= 8 ? threads + 1 : 2 * threads;
        threads = next < all ? next : all;
    }
}

jm_status jm_roofline_again(const struct jm_backend_ops *ops, jm_device *dev, struct jm_roofline *r,
                            jm_err *err)
{
    struct jm_roof roof[JM_MAX_ROOFS];
    uint32_t n;
    jm_status st = ops->roofs(dev, r->device.threads, roof, &n, err);
    if (st != JM_OK)
        return st;
    for (uint32_t i = 0; i < n; i++) {
        for (size_t k = 0; k < r->n_roofs; k++) {
            struct jm_roof *old = &r->roof[k];
            if (old->kind == roof[i].kind && old->threads == roof[i].threads &&
                strcmp(old->name, roof[i].name) == 0 && roof[i].per_s > old->per_s)
                *old = roof[i];
        }
    }
    for (size_t i = 0; i < r->n_runs; i++) {
        for (size_t c = 0; c < r->run[i].n_classes; c++) {
            struct jm_spots *s = &r->run[i].class[c];
            for (size_t k = 0; k < s->n; k++)
                jm_spot_place(&s->spot[k], r->roof, r->n_roofs, s->batches.threads);
        }
    }
    return JM_OK;
}

/* A system under test that is kept busy. */
struct drive {
    const struct jm_sut *sut;
    struct jm_timing *timing; /* [max_ids] */
    struct jm_sink sink;
    uint32_t max_ids, in_flight;
    jm_rng rng;
};

/* Steps until the time is up or the ids are used up, and eight times at least. */
static jm_status drive_for(struct drive *d, double seconds, jm_err *err)
{
    enum { LEAST_STEPS = 8 };
    int64_t end = jm_now_ns() + (int64_t)(seconds * 1e9);
    jm_status st = JM_OK;
    for (uint32_t steps = 0; st == JM_OK && (steps < LEAST_STEPS || jm_now_ns() < end); steps++) {
        while (st == JM_OK && d->sink.capacity < d->max_ids &&
               d->sink.capacity - d->sink.done < d->in_flight) {
            struct jm_sample q = { .id = d->sink.capacity,
                                   .index = (uint32_t)jm_rng_below(&d->rng, d->sut->n_samples) };
            d->timing[q.id].issue_ns = jm_now_ns();
            d->sink.capacity++;
            st = d->sut->issue(d->sut->state, &q, 1, err);
        }
        if (d->sink.capacity == d->sink.done)
            break;
        if (st == JM_OK)
            st = d->sut->step(d->sut->state, &d->sink, err);
    }
    return st;
}

static jm_status read_classes(const struct jm_backend_ops *ops, const jm_plan *plan,
                              const struct jm_roofline *r, struct jm_roofline_run *run, jm_err *err)
{
    struct jm_profile_batches b;
    jm_status st = JM_OK;
    for (uint32_t c = 0;
         st == JM_OK && run->n_classes < JM_ROOFLINE_CLASSES && ops->profile_batches(plan, c, &b);
         c++) {
        if (b.batches == 0)
            continue;
        st = jm_spots_read(ops, plan, c, r->roof, r->n_roofs, &run->class[run->n_classes], err);
        run->n_classes += st == JM_OK;
    }
    if (st == JM_OK && run->n_classes == 0)
        st = jm_fail(err, JM_EDEVICE, "backend %s timed no batch", ops->name);
    return st;
}

static jm_status profile_window(const struct jm_roofline_load *load, jm_workload *w,
                                struct drive *d, struct jm_roofline *r, struct jm_roofline_run *run,
                                jm_err *err)
{
    const struct jm_backend_ops *ops = load->config.ops;
    jm_plan *plan = load->workload->plan ? load->workload->plan(w) : NULL;
    if (!plan || !ops->profile)
        return jm_fail(err, JM_EUNSUPPORTED, "%s on backend %s: operations cannot be timed",
                       load->workload->name, ops->name);
    jm_status st = drive_for(d, load->warmup_s, err);
    if (st == JM_OK)
        st = ops->profile(plan, true, err);
    int64_t start = jm_now_ns();
    if (st == JM_OK)
        st = drive_for(d, load->seconds, err);
    run->seconds = (double)(jm_now_ns() - start) * 1e-9;
    if (st == JM_OK)
        st = read_classes(ops, plan, r, run, err);
    jm_err ignored = { 0 };
    (void)ops->profile(plan, false, &ignored);
    return st;
}

/* Answers that are kept: what memory is taken for. */
static uint32_t max_ids(const struct jm_model_info *m, uint32_t in_flight)
{
    enum { MOST = 32768 };
    const size_t memory = (size_t)64 << 20;
    size_t n = m->answer_bytes > 0 ? memory / m->answer_bytes : MOST;
    n = n < MOST ? n : MOST;
    return n > 2 * (size_t)in_flight ? (uint32_t)n : 2 * in_flight;
}

jm_status jm_roofline_profile(const struct jm_roofline_load *load, struct jm_roofline *r,
                              jm_err *err)
{
    bool single = strcmp(load->scenario, "single-stream") == 0;
    struct jm_workload_config config = load->config;
    struct jm_roofline_run *run = &r->run[r->n_runs];
    jm_workload *w = NULL;
    if (r->n_runs == JM_ROOFLINE_RUNS)
        return jm_fail(err, JM_EUSAGE, "roofline: more than %d runs", JM_ROOFLINE_RUNS);
    config.batch = single ? 1 : config.batch;
    *run = (struct jm_roofline_run){ .batch = config.batch };
    snprintf(run->scenario, sizeof run->scenario, "%s", load->scenario);
    r->n_runs++; /* what there is of it is freed with the rest */
    jm_status st = load->workload->open(&config, &w, err);
    if (st != JM_OK)
        return st;
    load->workload->info(w, &run->model);
    char who[64];
    snprintf(who, sizeof who, "roofline, %s", load->scenario);
    jm_memory_line(stderr, who, &run->model.memory, run->model.other_bytes);
    struct drive d = { .sut = load->workload->sut(w),
                       .in_flight = single ? 1 : 2 * config.batch,
                       .rng = { .state = load->seed } };
    d.max_ids = max_ids(&run->model, d.in_flight);
    d.timing = calloc(d.max_ids, sizeof *d.timing);
    d.sink.timing = d.timing;
    st = d.timing ? d.sut->begin(d.sut->state, d.max_ids, err)
                  : jm_fail(err, JM_ENOMEM, "roofline: out of memory for %u answers", d.max_ids);
    if (st == JM_OK)
        st = profile_window(load, w, &d, r, run, err);
    free(d.timing);
    load->workload->close(w);
    return st;
}

void jm_roofline_free(struct jm_roofline *r)
{
    for (size_t i = 0; i < r->n_runs; i++) {
        for (size_t c = 0; c < r->run[i].n_classes; c++)
            jm_spots_free(&r->run[i].class[c]);
    }
    r->n_runs = 0;
}
