/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-level BPE from a GGUF file's metadata (tokenizer.ggml.*). */
#ifndef JM_WORKLOADS_MODEL_TOKENIZER_H
#define JM_WORKLOADS_MODEL_TOKENIZER_H

#include "workloads/model/gguf.h"

typedef struct jm_tokenizer jm_tokenizer; /* immutable after open: threads may share it */

/* What a tokenizer is made of. Types are those of GGUF: 3 control, 4 user-defined; others are
 * plain. A merge is two token texts with a space between. */
struct jm_vocabulary {
    const jm_str *tokens; /* [n] by id */
    const int32_t *types; /* [n] */
    size_t n;
    const jm_str *merges; /* [n_merges], the first merges first */
    size_t n_merges;
    const char *pre; /* name of the pre-tokenizer, n_pre bytes */
    size_t n_pre;
};

/* Copies what it needs. Errors as below. */
jm_status jm_tokenizer_from(const struct jm_vocabulary *v, jm_tokenizer **out, jm_err *err);

/* Copies what it needs: f may be closed afterwards. JM_EINPUT, JM_EUNSUPPORTED (another model or
 * pre-tokenizer: names it), JM_ENOMEM. */
jm_status jm_tokenizer_open(const jm_gguf *f, jm_tokenizer **out, jm_err *err);
void jm_tokenizer_close(jm_tokenizer *t);

uint32_t jm_tokenizer_size(const jm_tokenizer *t);
/* The id whose text is exactly s; false: none. */
bool jm_tokenizer_find(const jm_tokenizer *t, const char *s, size_t n, uint32_t *id);

/* Text to ids. special: control tokens written out in the text (<|sep|>) become their ids;
 * otherwise they are plain text. Any bytes are accepted; invalid UTF-8 is encoded byte by byte.
 * *ids is malloc'd, the caller's; NULL when *n is 0. Adds no BOS. */
jm_status jm_tokenizer_encode(const jm_tokenizer *t, const char *text, size_t bytes, bool special,
                              uint32_t **ids, size_t *n, jm_err *err);

/* The bytes of one token (control tokens give none). Owned by t. id < size. */
jm_str jm_tokenizer_bytes(const jm_tokenizer *t, uint32_t id);

/* Puts tokens together into valid UTF-8. Bytes of an unfinished character wait; a byte that can
 * never be valid becomes U+FFFD. */
typedef struct jm_utf8_stream {
    uint8_t held[4];
    uint32_t n_held;
} jm_utf8_stream;

/* Appends what is complete to out, which has room for 3 * n + 12 bytes. Returns bytes written. */
size_t jm_utf8_push(jm_utf8_stream *s, const char *bytes, size_t n, char *out);
/* At the end: what is held becomes U+FFFD. out has room for 12 bytes. */
size_t jm_utf8_end(jm_utf8_stream *s, char *out);

#endif
