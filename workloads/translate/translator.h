/* SPDX-License-Identifier: Apache-2.0 */
/* Plain translation, a line at a time, words appearing as the model finds them. */
#ifndef JM_WORKLOADS_TRANSLATE_TRANSLATOR_H
#define JM_WORKLOADS_TRANSLATE_TRANSLATOR_H

#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "base/status.h"

typedef struct jm_translator jm_translator;

/* A piece of the answer: n bytes of whole UTF-8 characters, valid during the call. */
typedef void jm_translate_fn(void *user, const char *utf8, size_t n);

/* device stays the caller's, open until close. batch: sequences the plan is made for, > 0; a line
 * at a time needs 1. kv: format of the keys and values kept. *out is NULL on failure. Errors as
 * jm_mt_open and jm_mt_compile. */
jm_status jm_translator_open(const char *model_path, const struct jm_backend_ops *ops,
                             jm_device *device, uint32_t batch, jm_format kv, jm_translator **out,
                             jm_err *err);
struct jm_plan_memory jm_translator_memory(const jm_translator *t);
void jm_translator_close(jm_translator *t); /* takes NULL */

/**
 * Translates one line, n bytes without its newline, into the language of a code ("de"). An empty
 * line, or one of white space only, gives an empty line: no piece and JM_OK.
 *
 * JM_EUSAGE        an unknown language (with a suggestion), or a line too long for the context:
 *                  names both numbers of tokens
 * JM_EUNSUPPORTED  a language that the model does not know
 * JM_ENOMEM, JM_EDEVICE
 */
jm_status jm_translate_line(jm_translator *t, const char *text, size_t n, const char *lang,
                            jm_translate_fn *piece, void *user, jm_err *err);

#endif
