/* SPDX-License-Identifier: Apache-2.0 */
/* From a source text to the ids that a model is asked with, after the model's own template. */
#ifndef JM_WORKLOADS_TRANSLATE_PROMPT_H
#define JM_WORKLOADS_TRANSLATE_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "workloads/model/gguf.h"
#include "workloads/model/tokenizer.h"
#include "workloads/translate/language.h"

typedef struct jm_prompt_kind jm_prompt_kind; /* immutable after open: threads may share it */

/**
 * Recognises the file's tokenizer.chat_template: a literal with {target_lang} and {source}, or
 * Hy-MT's (it names <|hy_...> tokens; the bars may be full-width). t is the file's tokenizer; f may
 * be closed afterwards.
 *
 * JM_EINPUT        no template, no tokenizer.ggml.eos_token_id, or one that is no token
 * JM_EUNSUPPORTED  another template, or its tokens are not in the vocabulary
 * JM_ENOMEM
 */
jm_status jm_prompt_open(const jm_gguf *f, const jm_tokenizer *t, jm_prompt_kind **out,
                         jm_err *err);
void jm_prompt_close(jm_prompt_kind *k); /* takes NULL */

/* The token at which an answer ends. */
uint32_t jm_prompt_eos(const jm_prompt_kind *k);

/* Whether the model can be asked for this target language. */
bool jm_prompt_can(const jm_tokenizer *t, const jm_prompt_kind *k, const struct jm_language *to);

/**
 * The whole prompt. source: n bytes, always plain text: control tokens written out in it stay text.
 * from: NULL when unknown. *ids is malloc'd, the caller's; NULL on failure.
 *
 * JM_EUNSUPPORTED (the model cannot do the language), JM_ENOMEM, or as jm_tokenizer_encode.
 */
jm_status jm_prompt_encode(const jm_tokenizer *t, const jm_prompt_kind *k,
                           const struct jm_language *to, const struct jm_language *from,
                           const char *source, size_t n, uint32_t **ids, size_t *n_ids,
                           jm_err *err);

#endif
