/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target for GGUF files: opens the bytes, reads metadata through the public getters, and
 * decodes the first row of each tensor.
 *
 * clang -fsanitize=fuzzer,address,undefined, with workloads/model/gguf.c, backends/format*.c,
 * base/file.c and base/status.c. A good seed is the header of a small model. */
#include <stdlib.h>

#include "workloads/model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST_ROW = 1 << 20 };

static volatile unsigned sink; /* keeps the reads */

static void touch(jm_str s)
{
    for (size_t i = 0; i < s.n; i++)
        sink += (unsigned char)s.p[i];
}

static void read_key(const jm_gguf *f, const char *key)
{
    uint32_t u;
    double d;
    bool b;
    jm_str s;
    const jm_str *strs;
    const int32_t *ints;
    size_t n;
    if (jm_gguf_u32(f, key, &u))
        sink += u;
    if (jm_gguf_f64(f, key, &d))
        sink += d > 0.0;
    if (jm_gguf_bool(f, key, &b))
        sink += b;
    if (jm_gguf_str(f, key, &s))
        touch(s);
    if (jm_gguf_str_array(f, key, &strs, &n))
        for (size_t i = 0; i < n; i++)
            touch(strs[i]);
    if (jm_gguf_i32_array(f, key, &ints, &n))
        for (size_t i = 0; i < n; i++)
            sink += (unsigned)ints[i];
}

static void read_tensors(const jm_gguf *f)
{
    for (size_t i = 0; i < jm_gguf_tensor_count(f); i++) {
        const struct jm_tensor *t = jm_gguf_tensor_at(f, i);
        if (jm_gguf_tensor(f, t->name) != t)
            abort();
        float *row = t->cols <= LONGEST_ROW ? malloc(t->cols * sizeof *row) : NULL;
        if (row) {
            jm_format_decode(t->format, t->data, row, t->cols);
            sink += row[t->cols - 1] > 0.0f;
        }
        free(row);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {
        "general.architecture",
        "general.name",
        "general.alignment",
        "general.file_type",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.merges",
        "numbers",
        "big",
        "half",
        "hunyuan-dense.block_count",
        "hunyuan-dense.rope.freq_base",
        "tokenizer.ggml.add_bos_token",
    };
    jm_gguf *f;
    jm_err err = { .status = JM_OK };
    if (jm_gguf_open_memory(data, size, "fuzz", &f, &err) == JM_OK) {
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            read_key(f, keys[i]);
        read_tensors(f);
        jm_gguf_close(f);
    } else if (err.text[0] == '\0' || f) {
        abort(); /* a failure must say why, and give nothing */
    }
    return 0;
}
