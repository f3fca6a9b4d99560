/* SPDX-License-Identifier: Apache-2.0 */
/* All that drawing needs: a picture model, from GGUF or safetensors, its tokenizer, and the form
 * of its captions. */
#ifndef JM_WORKLOADS_IMAGEGEN_KIT_H
#define JM_WORKLOADS_IMAGEGEN_KIT_H

#include "workloads/imagegen/caption.h"
#include "workloads/imagegen/u1_model.h"
#include "workloads/model/safetensors.h"

/* Readable by all. */
typedef struct jm_u1_kit {
    jm_u1_model model;
    jm_safetensors *weights; /* NULL: the model is a GGUF file */
    jm_tokenizer *tok;
    jm_caption_form form;
    uint32_t *uncond; /* [n_uncond] */
    uint32_t n_uncond;
} jm_u1_kit;

/* True for a folder, and for names that end in .safetensors or .json. */
bool jm_u1_is_safetensors(const char *path);

/**
 * tokenizer: a GGUF file, or a tokenizer.json, to take the tokenizer from; NULL: the model itself,
 * or of safetensors the tokenizer.json in their folder. The plan is not compiled. *k is zero after
 * a failure, which is as its parts say.
 */
jm_status jm_u1_kit_open(const char *path, const char *tokenizer, const struct jm_backend_ops *ops,
                         jm_device *device, jm_u1_kit *k, jm_err *err);
void jm_u1_kit_close(jm_u1_kit *k); /* a zero kit too */

/* As jm_caption_encode; refuses what the model's context does not hold (JM_EUSAGE). */
jm_status jm_u1_kit_encode(const jm_u1_kit *k, const char *text, uint32_t **ids, uint32_t *n,
                           jm_err *err);

#endif
