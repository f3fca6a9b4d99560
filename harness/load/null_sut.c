/* SPDX-License-Identifier: Apache-2.0 */
/* See null_sut.h. */
#include "harness/load/null_sut.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "harness/load/load.h"

enum { BATCH = 1024 };

static jm_status null_begin(void *state, uint32_t max_ids, jm_err *err)
{
    struct jm_null_sut *s = state;

    jm_null_sut_close(s);
    size_t bytes = (max_ids ? max_ids : 1) * sizeof s->queue[0];
    s->queue = malloc(bytes);
    if (!s->queue)
        return jm_fail(err, JM_ENOMEM, "null system: no memory for %u samples", max_ids);
    memset(s->queue, 0, bytes); /* touched now: no page faults while measuring */
    s->capacity = max_ids;
    return JM_OK;
}

static jm_status null_issue(void *state, const struct jm_sample *samples, uint32_t n, jm_err *err)
{
    struct jm_null_sut *s = state;

    if (n > s->capacity - s->n)
        return jm_fail(err, JM_EUSAGE, "null system: more samples than announced");
    memcpy(s->queue + s->n, samples, n * sizeof *samples);
    s->n += n;
    return JM_OK;
}

/* Many at once finish in batches, as they do on any system that computes in batches. */
static jm_status null_step(void *state, struct jm_sink *sink, jm_err *err)
{
    struct jm_null_sut *s = state;

    (void)err;
    for (uint32_t i = 0; i < s->n;) {
        uint32_t end = s->n - i < BATCH ? s->n : i + BATCH;
        int64_t now_ns = jm_now_ns();
        for (; i < end; i++)
            jm_sink_done_at(sink, s->queue[i].id, 0, 0, now_ns);
    }
    s->n = 0;
    return JM_OK;
}

struct jm_sut jm_null_sut_open(struct jm_null_sut *state, uint32_t n_samples)
{
    *state = (struct jm_null_sut){ 0 };
    return (struct jm_sut){ .state = state,
                            .n_samples = n_samples,
                            .begin = null_begin,
                            .issue = null_issue,
                            .step = null_step };
}

void jm_null_sut_close(struct jm_null_sut *state)
{
    if (!state)
        return;
    free(state->queue);
    *state = (struct jm_null_sut){ 0 };
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

jm_status jm_null_cost_ns(double *cost_ns, jm_err *err)
{
    enum { REPEATS = 5, SAMPLES = 1000, MAX_IDS = 200000 };
    double cost[REPEATS];
    struct jm_null_sut state;
    struct jm_sut sut = jm_null_sut_open(&state, SAMPLES);
    struct jm_load_config cfg = { .scenario = JM_SINGLE_STREAM,
                                  .seed = 1,
                                  .warmup_s = 0.005,
                                  .min_duration_s = 0.02,
                                  .max_ids = MAX_IDS };
    jm_status st = JM_OK;

    for (int i = 0; i < REPEATS && st == JM_OK; i++) {
        struct jm_load_result res;
        st = jm_load_run(&sut, &cfg, &res, err);
        cost[i] = st == JM_OK ? (double)(res.t_end_ns - res.t_start_ns) / (double)res.n : 0.0;
        jm_load_result_free(&res);
    }
    jm_null_sut_close(&state);
    if (st != JM_OK)
        return st;
    qsort(cost, REPEATS, sizeof cost[0], compare_double);
    *cost_ns = cost[REPEATS / 2];
    return JM_OK;
}
