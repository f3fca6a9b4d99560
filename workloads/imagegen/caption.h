/* SPDX-License-Identifier: Apache-2.0 */
/* From a caption to the tokens that a picture model wants. */
#ifndef JM_WORKLOADS_IMAGEGEN_CAPTION_H
#define JM_WORKLOADS_IMAGEGEN_CAPTION_H

#include "workloads/model/tokenizer.h"

/* What stands around a caption; control tokens are written out. Owned. */
typedef struct jm_caption_form {
    char *before, *after;
    char *nothing; /* the whole prompt of the unconditional branch */
} jm_caption_form;

/**
 * tokenizer.chat_template of f, unless f is NULL, when it is a literal with {prompt} in it;
 * otherwise, when the vocabulary has <|im_start|>, the dialogue that SenseNova-U1 was trained with.
 *
 * path is for messages. JM_EUNSUPPORTED: neither; JM_ENOMEM.
 */
jm_status jm_caption_open(const jm_gguf *f, const char *path, const jm_tokenizer *tok,
                          jm_caption_form *out, jm_err *err);
void jm_caption_close(jm_caption_form *form);

/* Tokens of a caption, or of the unconditional branch when text is NULL. *ids is malloc'd, *n > 0.
 * JM_EUSAGE: the caption is empty or white space; JM_EINPUT: nothing to encode; JM_ENOMEM. */
jm_status jm_caption_encode(const jm_caption_form *form, const jm_tokenizer *tok, const char *text,
                            uint32_t **ids, uint32_t *n, jm_err *err);

#endif
