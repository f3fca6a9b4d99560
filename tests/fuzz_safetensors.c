/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target for safetensors files: opens the bytes, finds each tensor by its name, and
 * decodes its first and last row. */
#include <stdlib.h>
#include <string.h>

#include "workloads/model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST_ROW = 1 << 20 };

static volatile unsigned sink; /* keeps the reads */

static void read_tensor(const jm_safetensors *f, const struct jm_tensor *t)
{
    uint64_t dims[JM_SAFETENSORS_MAX_DIMS];
    uint32_t n;
    if (jm_safetensors_tensor(f, t->name, dims, &n) != t || dims[0] != t->cols)
        abort();
    float *row = t->cols <= LONGEST_ROW ? malloc(t->cols * sizeof *row) : NULL;
    if (row) {
        size_t bytes = jm_format_row_bytes(t->format, t->cols);
        jm_format_decode(t->format, t->data, row, t->cols);
        jm_format_decode(t->format, (const uint8_t *)t->data + (t->rows - 1) * bytes, row, t->cols);
        sink += row[t->cols - 1] > 0.0f;
    }
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    jm_safetensors *f;
    jm_err err = { .status = JM_OK };
    if (jm_safetensors_open_memory(data, size, "fuzz", &f, &err) == JM_OK) {
        for (size_t i = 0; i < jm_safetensors_tensor_count(f); i++)
            read_tensor(f, jm_safetensors_tensor_at(f, i));
        jm_safetensors_close(f);
    } else if (err.text[0] == '\0' || f) {
        abort(); /* a failure must say why, and give nothing */
    }
    return 0;
}
