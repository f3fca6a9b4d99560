/* SPDX-License-Identifier: Apache-2.0 */
/* Continuous batching: many requests share one plan, each step runs one batch that holds a row of
 * every sequence being decoded together with prompt rows of new ones. Greedy decoding.
 *
 * What a request gets does not depend on what it shares batches with, provided that the backend's
 * rows are independent. Not thread safe; one thread calls everything. */
#ifndef JM_WORKLOADS_TRANSLATE_ENGINE_H
#define JM_WORKLOADS_TRANSLATE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "base/status.h"

typedef struct jm_engine jm_engine;

typedef enum jm_engine_end {
    JM_ENGINE_STOP,      /* the model said so */
    JM_ENGINE_LENGTH,    /* max_new tokens, or the context is full */
    JM_ENGINE_CANCELLED, /* jm_engine_cancel */
} jm_engine_end;

/* Each may be NULL. Called from step and cancel; they may submit, but not cancel, clear or step. */
struct jm_engine_events {
    void *user;
    void (*first)(void *user, uint32_t id); /* a first token exists, stop included */
    void (*token)(void *user, uint32_t id, uint32_t token); /* stop tokens are not reported */
    void (*done)(void *user, uint32_t id, uint32_t tokens_in, uint32_t tokens_out,
                 jm_engine_end end);
};

enum { JM_ENGINE_MAX_STOP = 4 };

struct jm_engine_config {
    const struct jm_backend_ops *ops;
    jm_plan *plan;           /* output 0 is ARGMAX; outlives the engine */
    struct jm_limits limits; /* of the plan; max_rows >= max_slots */
    uint32_t vocab;          /* tokens are below it */
    uint32_t max_queue;      /* requests that can wait, > 0 */
    uint32_t stop[JM_ENGINE_MAX_STOP];
    uint32_t n_stop;
    struct jm_engine_events events;
};

/* prompt [n_prompt] stays the caller's, unchanged until done. */
struct jm_engine_request {
    uint32_t id; /* the caller's number; unique among what is pending */
    const uint32_t *prompt;
    uint32_t n_prompt; /* 1..max_context */
    uint32_t max_new;  /* 0: done at once, without output */
};

/* Takes all memory that step will need. JM_EUSAGE, JM_ENOMEM. */
jm_status jm_engine_open(const struct jm_engine_config *cfg, jm_engine **out, jm_err *err);
void jm_engine_close(jm_engine *e); /* takes NULL; the plan stays open */

/* Puts a request at the end of the queue. JM_EUSAGE: empty prompt, longer than the context (says
 * how long both are), a token outside the vocabulary, or the queue is full. */
jm_status jm_engine_submit(jm_engine *e, const struct jm_engine_request *r, jm_err *err);

/* One batch; JM_OK and nothing happens when nothing is pending. Allocates nothing. After an error
 * only clear and close make sense. */
jm_status jm_engine_step(jm_engine *e, jm_err *err);

/* Ends a pending request now; JM_ENOTFOUND: no such id is pending. */
jm_status jm_engine_cancel(jm_engine *e, uint32_t id, jm_err *err);

/* Forgets everything pending, without events. */
void jm_engine_clear(jm_engine *e);

/* Requests that are not done. */
uint32_t jm_engine_pending(const jm_engine *e);

#endif
