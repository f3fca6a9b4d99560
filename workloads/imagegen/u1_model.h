/* SPDX-License-Identifier: Apache-2.0 */
/* A picture model on a device: file, graph and plan, loaded in one place for the workload and for
 * plain drawing.
 *
 *     jm_u1_open(path, ops, device, &m, err);
 *     jm_u1_compile(&m, 1, 0, &how, err);                 // one picture at a time
 *     jm_noise_fill(seed, pixels, 3 * how.width * how.height);
 *     jm_u1_draw(&m, &(struct jm_u1_prompts){ … }, &how, pixels, err);
 *     jm_u1_close(&m);
 */
#ifndef JM_WORKLOADS_IMAGEGEN_U1_MODEL_H
#define JM_WORKLOADS_IMAGEGEN_U1_MODEL_H

#include "backends/backend.h"
#include "workloads/imagegen/engine.h"
#include "workloads/imagegen/sampler.h"
#include "workloads/model/gguf.h"
#include "workloads/model/neo_unify.h"

/* Readable by all; zero-initialise before open. */
typedef struct jm_u1_model {
    jm_gguf *file; /* NULL when made by jm_u1_from */
    struct jm_neo params;
    jm_graph *graph; /* until compile */
    const struct jm_backend_ops *ops;
    jm_device *device;   /* the caller's */
    jm_plan *plan;       /* after compile */
    jm_format kv_format; /* of a prompt's keys and values; F32 unless set before compile */
    struct jm_limits limits;
    uint32_t max_pictures, max_cells; /* after compile */
    uint64_t max_bytes;               /* of memory, to be set before compile; 0: what there is */
    uint64_t other_bytes;             /* after compile: what a painter and its pictures take */
} jm_u1_model;

/* Everything but the plan, from a GGUF file. On failure *m is closed. JM_EUNSUPPORTED when the
 * backend cannot run an operation of the model (named); otherwise as its parts. */
jm_status jm_u1_open(const char *path, const struct jm_backend_ops *ops, jm_device *device,
                     jm_u1_model *m, jm_err *err);

/* The same over any container whose settings the caller has read; it must outlive *m. */
jm_status jm_u1_from(const struct jm_neo_source *source, const struct jm_neo *params,
                     const struct jm_backend_ops *ops, jm_device *device, jm_u1_model *m,
                     jm_err *err);

/* Compiles the plan, once. pictures: drawn at once; context: tokens of the longest prompt, at most
 * the model's, 0: 512 or the model's; largest: the largest picture (width and height count).
 * JM_EUSAGE, or as the backend's compile. */
jm_status jm_u1_compile(jm_u1_model *m, uint32_t pictures, uint32_t context,
                        const struct jm_sampling *largest, jm_err *err);

/* Token ids with everything the model's template asks for around the text. */
struct jm_u1_prompts {
    const uint32_t *prompt;
    uint32_t n_prompt;
    const uint32_t *uncond; /* the template around an empty text */
    uint32_t n_uncond;
};

/* A painter over the plan. uncond stays the caller's, unchanged until it is closed. */
jm_status jm_u1_painter(const jm_u1_model *m, const uint32_t *uncond, uint32_t n_uncond,
                        uint32_t max_queue, const struct jm_painter_events *events,
                        jm_painter **out, jm_err *err);

/* One picture, start to end. pixels: f32 [3, height, width]; in: standard normal noise, out: the
 * picture in about -1..1 (jm_image_from_planes makes bytes of it). After compile. */
jm_status jm_u1_draw(const jm_u1_model *m, const struct jm_u1_prompts *prompts,
                     const struct jm_sampling *how, float *pixels, jm_err *err);

void jm_u1_close(jm_u1_model *m);

#endif
