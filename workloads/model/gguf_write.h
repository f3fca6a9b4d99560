/* SPDX-License-Identifier: Apache-2.0 */
/* Writes GGUF v3 files made from other GGUF files. */
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

#endif
