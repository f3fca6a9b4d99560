/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts text into the pieces that byte-pair merges may not cross, by regular expressions. */
#ifndef JM_WORKLOADS_MODEL_PRETOKENIZE_H
#define JM_WORKLOADS_MODEL_PRETOKENIZE_H

#include <stddef.h>

#include "base/status.h"

typedef struct jm_pretok jm_pretok; /* immutable after open: threads may share it */

/* name: n bytes, "hunyuan-dense", "qwen2" or "gpt2". JM_EUNSUPPORTED: another; JM_ENOMEM. */
jm_status jm_pretok_open(const char *name, size_t n, jm_pretok **out, jm_err *err);
void jm_pretok_close(jm_pretok *p); /* takes NULL */

/* Called for each piece in order; the pieces put together are the text. Anything but JM_OK ends
 * the split with that status. */
typedef jm_status jm_pretok_emit(void *ctx, const char *piece, size_t n, jm_err *err);

/* text: n bytes of valid UTF-8 (the caller has checked). JM_ENOMEM, JM_EINPUT (a match hit the
 * limits of the regular expression library), or what emit returned. */
jm_status jm_pretok_split(const jm_pretok *p, const char *text, size_t n, jm_pretok_emit *emit,
                          void *ctx, jm_err *err);

#endif
