/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer of GGUF files needs from the reader, beyond gguf.h. */
#ifndef JM_WORKLOADS_MODEL_GGUF_INTERNAL_H
#define JM_WORKLOADS_MODEL_GGUF_INTERNAL_H

#include "workloads/model/gguf.h"

enum {
    JM_GGUF_MAX_DIMS = 4,
    JM_GGUF_DEFAULT_ALIGNMENT = 32,
    JM_GGUF_TYPE_STQ1_0_FIRST = 42, /* the id of the first release; others: Q2_0 */
    JM_GGUF_TYPE_STQ1_0 = 43,
};

/* Value types of metadata, as numbered in the file. */
enum jm_gguf_value {
    JM_GGUF_U8,
    JM_GGUF_I8,
    JM_GGUF_U16,
    JM_GGUF_I16,
    JM_GGUF_U32,
    JM_GGUF_I32,
    JM_GGUF_F32,
    JM_GGUF_BOOL,
    JM_GGUF_STRING,
    JM_GGUF_ARRAY,
    JM_GGUF_U64,
    JM_GGUF_I64,
    JM_GGUF_F64,
    JM_GGUF_VALUE_COUNT
};

/* The encoded metadata, from the first key to the end of the last value; the same bytes mean the
 * same in v2 and v3. */
const uint8_t *jm_gguf_metadata(const jm_gguf *f, size_t *bytes, uint64_t *n_keys);

/* Where the value of a key of this very type lies; NULL when there is none. */
const uint8_t *jm_gguf_value_at(const jm_gguf *f, const char *key, enum jm_gguf_value type);

/* Bytes; a power of two. */
uint32_t jm_gguf_alignment(const jm_gguf *f);

/* The dimensions of tensor i as the file gives them, row length first. Returns how many, 1 to
 * JM_GGUF_MAX_DIMS. */
uint32_t jm_gguf_dims(const jm_gguf *f, size_t i, uint64_t dims[JM_GGUF_MAX_DIMS]);

/* The number that stands for a format in files. */
uint32_t jm_gguf_type_id(jm_format format);

#endif
