/* SPDX-License-Identifier: Apache-2.0 */
/* Safetensors model files, memory-mapped, with the config.json beside them; every size and offset
 * checked before use. Format: github.com/huggingface/safetensors. */
#ifndef JM_WORKLOADS_MODEL_SAFETENSORS_H
#define JM_WORKLOADS_MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/graph.h"
#include "base/status.h"

typedef struct jm_safetensors jm_safetensors;

enum { JM_SAFETENSORS_MAX_DIMS = 4, JM_SAFETENSORS_MAX_SHARDS = 1024 };

/**
 * path: a .safetensors file; the .json index of a sharded model; or a folder that holds
 * model.safetensors.index.json or model.safetensors. A config.json in the same folder is read too.
 *
 * JM_ENOTFOUND, JM_EIO, JM_ENOMEM; JM_EINPUT: damaged (says what): a header that is not as the
 * format wants it, tensors that overlap, leave gaps or do not fill the file, a name given twice, a
 * shard outside the folder; JM_EUNSUPPORTED: a tensor that is not F32, F16 or BF16 (named).
 */
jm_status jm_safetensors_open(const char *path, jm_safetensors **out, jm_err *err);
/* One file that the caller keeps in memory until close, without config; name is for messages. */
jm_status jm_safetensors_open_memory(const void *data, size_t bytes, const char *name,
                                     jm_safetensors **out, jm_err *err);
void jm_safetensors_close(jm_safetensors *f); /* takes NULL */

const char *jm_safetensors_path(const jm_safetensors *f);
uint64_t jm_safetensors_bytes(const jm_safetensors *f); /* all shards together */

/* The weights files, in order of their names; i < count. */
size_t jm_safetensors_shard_count(const jm_safetensors *f);
const char *jm_safetensors_shard_path(const jm_safetensors *f, size_t i);
/* The folder of the first one, "." where its path has none; malloc'd. NULL: out of memory. */
char *jm_safetensors_folder(const jm_safetensors *f);

/* Tensors in order of their names. The last dimension of a shape is the row length; the others are
 * folded into rows. Vectors of F16 or BF16 are given as F32, which norms and biases must be. */
size_t jm_safetensors_tensor_count(const jm_safetensors *f);
const struct jm_tensor *jm_safetensors_tensor_at(const jm_safetensors *f, size_t i);
/* NULL when absent. dims, which may be NULL: row length first, as in GGUF files; *n_dims: how
 * many, 1 to JM_SAFETENSORS_MAX_DIMS. */
const struct jm_tensor *jm_safetensors_tensor(const jm_safetensors *f, const char *name,
                                              uint64_t dims[JM_SAFETENSORS_MAX_DIMS],
                                              uint32_t *n_dims);

/* config.json. section: an object in it ("llm_config"), NULL for the top. Each returns false when
 * the key, or the file, is absent, or the value has another type. Strings are owned by f. */
bool jm_safetensors_has_config(const jm_safetensors *f);
bool jm_safetensors_u32(const jm_safetensors *f, const char *section, const char *key,
                        uint32_t *out);
bool jm_safetensors_f64(const jm_safetensors *f, const char *section, const char *key, double *out);
bool jm_safetensors_bool(const jm_safetensors *f, const char *section, const char *key, bool *out);
bool jm_safetensors_str(const jm_safetensors *f, const char *section, const char *key,
                        const char **out);

#endif
