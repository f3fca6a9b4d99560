/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF v2 and v3 model files, memory-mapped, every size and offset checked before use. */
#ifndef JM_WORKLOADS_MODEL_GGUF_H
#define JM_WORKLOADS_MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/graph.h"
#include "base/status.h"

typedef struct jm_gguf jm_gguf;

/* A string in the file: not terminated, may hold any byte. */
typedef struct jm_str {
    const char *p;
    size_t n;
} jm_str;

/* JM_ENOTFOUND, JM_EIO, JM_EINPUT (damaged: says what and at which byte), JM_EUNSUPPORTED (a tensor
 * type we cannot decode: names it), JM_ENOMEM. */
jm_status jm_gguf_open(const char *path, jm_gguf **out, jm_err *err);
/* The same over bytes that the caller keeps until close; name is for messages. */
jm_status jm_gguf_open_memory(const void *data, size_t bytes, const char *name, jm_gguf **out,
                              jm_err *err);
void jm_gguf_close(jm_gguf *f); /* takes NULL */

const char *jm_gguf_path(const jm_gguf *f);
size_t jm_gguf_bytes(const jm_gguf *f);
uint32_t jm_gguf_version(const jm_gguf *f);

/* Metadata. Each returns false when the key is absent or has another type (integers of any width
 * convert when the value fits; f32 and f64 to double). */
bool jm_gguf_u32(const jm_gguf *f, const char *key, uint32_t *out);
bool jm_gguf_f64(const jm_gguf *f, const char *key, double *out);
bool jm_gguf_bool(const jm_gguf *f, const char *key, bool *out);
bool jm_gguf_str(const jm_gguf *f, const char *key, jm_str *out);
/* general.architecture is `architecture`, which is a `kind` ("translator"). JM_EINPUT: there is
 * none. JM_EUNSUPPORTED: another. */
jm_status jm_gguf_check_architecture(const jm_gguf *f, const char *architecture, const char *kind,
                                     jm_err *err);
/* Arrays: length, then elements. */
bool jm_gguf_str_array(const jm_gguf *f, const char *key, const jm_str **items, size_t *n);
bool jm_gguf_i32_array(const jm_gguf *f, const char *key, const int32_t **items, size_t *n);

size_t jm_gguf_tensor_count(const jm_gguf *f);
/* i < count. The tensor's name is terminated and owned by f. More than two dimensions are folded
 * into rows. */
const struct jm_tensor *jm_gguf_tensor_at(const jm_gguf *f, size_t i);
/* NULL when absent. */
const struct jm_tensor *jm_gguf_tensor(const jm_gguf *f, const char *name);

#endif
