/* SPDX-License-Identifier: Apache-2.0 */
/* A translation model on a device: file, tokenizer, prompt template and plan, loaded in one place
 * for the workload and for plain translation. */
#ifndef JM_WORKLOADS_TRANSLATE_MT_MODEL_H
#define JM_WORKLOADS_TRANSLATE_MT_MODEL_H

#include "backends/backend.h"
#include "workloads/model/gguf.h"
#include "workloads/model/hunyuan_dense.h"
#include "workloads/model/tokenizer.h"
#include "workloads/translate/engine.h"
#include "workloads/translate/prompt.h"

/* Readable by all; zero-initialise before open. */
typedef struct jm_mt_model {
    jm_gguf *file;
    jm_tokenizer *tok;
    jm_prompt_kind *prompt;
    jm_graph *graph; /* until compile */
    struct jm_hunyuan params;
    const struct jm_backend_ops *ops;
    jm_device *device; /* the caller's */
    jm_plan *plan;     /* after compile */
    struct jm_limits limits;
    uint32_t longest_token; /* bytes */
    uint64_t max_bytes;     /* of memory, to be set before compile; 0: what is available */
} jm_mt_model;

/* Everything but the plan. On failure *m is closed. JM_EUNSUPPORTED when the backend cannot run an
 * operation of the model (named); otherwise as its parts. */
jm_status jm_mt_open(const char *path, const struct jm_backend_ops *ops, jm_device *device,
                     jm_mt_model *m, jm_err *err);

/* Compiles the plan, once. slots: sequences at once; context: positions of each, at most the
 * model's; kv: format of the keys and values kept. JM_EUSAGE, or as the backend's compile;
 * JM_ENOMEM says what to lower. */
jm_status jm_mt_compile(jm_mt_model *m, uint32_t slots, uint32_t context, jm_format kv,
                        jm_err *err);

/* An engine over the plan with the model's stop tokens. */
jm_status jm_mt_engine(const jm_mt_model *m, uint32_t max_queue,
                       const struct jm_engine_events *events, jm_engine **out, jm_err *err);

/* How many tokens a translation of a prompt may have, whatever the model does: a translation is
 * not many times longer than its source, and a model that repeats itself must end. */
uint32_t jm_mt_max_new(uint32_t n_prompt);

void jm_mt_close(jm_mt_model *m);

#endif
