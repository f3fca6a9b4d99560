/* SPDX-License-Identifier: Apache-2.0 */
/* Writes GGUF v3 files: made from other GGUF files, or new ones. */
#ifndef JM_WORKLOADS_MODEL_GGUF_WRITE_H
#define JM_WORKLOADS_MODEL_GGUF_WRITE_H

#include "workloads/model/gguf.h"

/* Fills one row of a tensor in its new format. t: the tensor of the source. dst:
 * jm_format_row_bytes(to, t->cols) bytes. */
typedef jm_status jm_gguf_row_fn(void *ctx, const struct jm_tensor *t, jm_format to, uint32_t row,
                                 void *dst, jm_err *err);

struct jm_gguf_change {
    const jm_format *formats; /* [tensor count of src], wanted of each tensor; t->cols must be
                                 whole blocks of it */
    uint32_t file_type;       /* replaces general.file_type where src has that key as u32 */
    jm_gguf_row_fn *row;      /* called for tensors whose format changes; others are copied */
    void *ctx;
};

/* Metadata, tensor order, names, dimensions and alignment are those of src. The file at path
 * appears whole or not at all. JM_EIO, JM_ENOMEM, JM_EUSAGE (a format that does not fit a row), or
 * what row returned. */
jm_status jm_gguf_write(const char *path, const jm_gguf *src, const struct jm_gguf_change *change,
                        jm_err *err);

/* A tensor of a new file. */
struct jm_gguf_new_tensor {
    const char *name;
    jm_format format;
    uint32_t n_dims;
    uint64_t dims[4]; /* row length first */
};

/* Fills n rows of tensor i from `row` on: n * jm_format_row_bytes(format, dims[0]) bytes. Rows are
 * asked for in order, tensor after tensor. */
typedef jm_status jm_gguf_rows_fn(void *ctx, size_t i, uint64_t row, uint64_t n, void *dst,
                                  jm_err *err);

struct jm_gguf_new {
    const void *metadata; /* encoded keys, see gguf_keys.h */
    size_t metadata_bytes;
    uint64_t n_keys;
    const struct jm_gguf_new_tensor *tensors;
    size_t n_tensors;
    jm_gguf_rows_fn *rows;
    void *ctx;
};

/* How large the file will be. JM_EUSAGE: a format that does not fit a row, or a size that fits no
 * file. */
jm_status jm_gguf_new_bytes(const struct jm_gguf_new *n, uint64_t *bytes, jm_err *err);

/* Holds about a megabyte at a time. The file at path appears whole or not at all. JM_EIO,
 * JM_ENOMEM, JM_EUSAGE, or what rows returned. */
jm_status jm_gguf_create(const char *path, const struct jm_gguf_new *n, jm_err *err);

/* The number general.file_type has for a file whose matrices are mostly in f (llama.cpp's list; 1,
 * "mostly F16", for formats that it has no number for). */
uint32_t jm_gguf_file_type(jm_format f);

#endif
