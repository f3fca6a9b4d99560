/* SPDX-License-Identifier: Apache-2.0 */
/* Continuous batching of pictures: each step takes every picture that is being drawn one Euler step
 * further, whatever step each is at, and new ones join between steps. A prompt is read once; its
 * keys and values serve all steps. The unconditional prompt is read once for all pictures.
 *
 * What a request gets does not depend on what it shares batches with. Not thread safe; one thread
 * calls everything. */
#ifndef JM_WORKLOADS_IMAGEGEN_ENGINE_H
#define JM_WORKLOADS_IMAGEGEN_ENGINE_H

#include <stdint.h>

#include "backends/backend.h"
#include "base/status.h"
#include "workloads/imagegen/sampler.h"
#include "workloads/model/neo_unify.h"

typedef struct jm_painter jm_painter;

/* Each may be NULL. Called from step and cancel; they may submit, but not cancel, clear or step. */
struct jm_painter_events {
    void *user;
    /* A step of this picture is done: `step` of them so far, 1.. */
    void (*step)(void *user, uint32_t id, uint32_t step);
    /* pixels hold the picture; or cancelled, and they hold nothing of use. */
    void (*done)(void *user, uint32_t id, bool cancelled);
};

struct jm_painter_config {
    const struct jm_backend_ops *ops;
    jm_plan *plan;           /* of jm_neo_build's graph; outlives the painter */
    struct jm_limits limits; /* of the plan; max_rows >= max_cells */
    struct jm_neo model;
    uint32_t max_pictures;  /* drawn at once; < limits.max_slots: one more is for uncond */
    uint32_t max_cells;     /* of one picture */
    uint32_t max_queue;     /* requests that can wait, > 0 */
    const uint32_t *uncond; /* [n_uncond] prompt of the unconditional branch, 1..max_context */
    uint32_t n_uncond;
    struct jm_painter_events events;
};

/* prompt and pixels stay the caller's, unchanged until done. */
struct jm_painter_request {
    uint32_t id;            /* the caller's number; unique among what is pending */
    const uint32_t *prompt; /* [n_prompt] */
    uint32_t n_prompt;      /* 1..max_context */
    struct jm_sampling how;
    /* f32 [3, height, width]. In: standard normal noise. Out: the picture, about -1..1, not
     * clamped. */
    float *pixels;
};

/* Takes all memory that step will need. JM_EUSAGE, JM_ENOMEM. */
jm_status jm_painter_open(const struct jm_painter_config *cfg, jm_painter **out, jm_err *err);
void jm_painter_close(jm_painter *e); /* takes NULL; the plan stays open */

/* Puts a request at the end of the queue. JM_EUSAGE: a prompt that is empty, longer than the
 * context or outside the vocabulary; settings that jm_sampling_check refuses; a picture larger
 * than the plan's; or the queue is full. */
jm_status jm_painter_submit(jm_painter *e, const struct jm_painter_request *r, jm_err *err);

/* One Euler step of everything active; JM_OK and nothing happens when nothing is pending. Allocates
 * nothing. After an error only clear and close make sense. */
jm_status jm_painter_step(jm_painter *e, jm_err *err);

/* Ends a pending request now; JM_ENOTFOUND: no such id is pending. */
jm_status jm_painter_cancel(jm_painter *e, uint32_t id, jm_err *err);

/* Forgets everything pending, without events. */
void jm_painter_clear(jm_painter *e);

/* Requests that are not done. */
uint32_t jm_painter_pending(const jm_painter *e);

#endif
