/* SPDX-License-Identifier: Apache-2.0 */
/* The door between the load generator and a system under test: "here are samples; tell me when
 * each answer is done". One thread calls all of it. The harness issues samples, then steps until
 * nothing is left; the system reports through the sink. Nothing here allocates or locks. */
#ifndef JM_HARNESS_SUT_H
#define JM_HARNESS_SUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"

/* One sample of one query. id counts issued samples from 0; index says which of the data set. */
struct jm_sample {
    uint32_t id;
    uint32_t index;
};

/* What is known of one sample's answer, 40 bytes. Times: jm_now_ns, 0 while unknown. */
struct jm_timing {
    int64_t issue_ns; /* scheduled arrival; the harness writes it */
    int64_t first_ns; /* first token; stays 0 where there is none */
    int64_t done_ns;
    uint32_t tokens_in, tokens_out;
    uint32_t index;
    float delay_ns; /* from the scheduled arrival until the system was given the sample */
};

struct jm_sink {
    struct jm_timing *timing; /* [capacity], by sample id */
    uint32_t capacity;        /* ids below it were issued */
    uint32_t done;            /* answers so far, each to another sample */
    uint32_t faults;          /* answers to samples that were answered before, or never issued */
    uint32_t fault_id;        /* of the last of them */
};

static inline void jm_sink_fault(struct jm_sink *s, uint32_t id)
{
    s->faults++;
    s->fault_id = id;
}

/* The first token exists; only the first report of a sample counts. */
static inline void jm_sink_first(struct jm_sink *s, uint32_t id)
{
    if (id >= s->capacity)
        jm_sink_fault(s, id);
    else if (s->timing[id].first_ns == 0)
        s->timing[id].first_ns = jm_now_ns();
}

/* For systems that finish many samples at the same moment: now_ns is jm_now_ns, read after all of
 * them were finished. */
static inline void jm_sink_done_at(struct jm_sink *s, uint32_t id, uint32_t tokens_in,
                                   uint32_t tokens_out, int64_t now_ns)
{
    if (id >= s->capacity || s->timing[id].done_ns != 0) {
        jm_sink_fault(s, id);
        return;
    }
    struct jm_timing *t = &s->timing[id];
    t->tokens_in = tokens_in;
    t->tokens_out = tokens_out;
    t->done_ns = now_ns;
    s->done++;
}

static inline void jm_sink_done(struct jm_sink *s, uint32_t id, uint32_t tokens_in,
                                uint32_t tokens_out)
{
    jm_sink_done_at(s, id, tokens_in, tokens_out, jm_now_ns());
}

struct jm_sut {
    void *state;
    uint32_t n_samples; /* in the data set */
    /* Before a measured window: at most max_ids samples will be issued; forget earlier answers.
     * All memory for answers is taken here. */
    jm_status (*begin)(void *state, uint32_t max_ids, jm_err *err);
    /* Takes n samples into the queue; does not wait. */
    jm_status (*issue)(void *state, const struct jm_sample *samples, uint32_t n, jm_err *err);
    /* Some progress on what is queued: one decode step, say. May return without any answer. */
    jm_status (*step)(void *state, struct jm_sink *sink, jm_err *err);
};

#endif
