/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a small valid GGUF file for the fuzzer to start from: a vocabulary, a value of each kind,
 * and a tensor of each format. Checks first that the reader takes it whole and refuses it cut
 * short. Usage: seed_gguf OUT */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "tests/vocab_gguf.h"
#include "workloads/model/gguf_internal.h"

enum { COLS = 256, ROWS = 2, ALIGN = 32 };

static void put_values(struct vocab_bytes *b)
{
    static const uint8_t bytes[8] = { 1 };
    static const struct {
        uint32_t type;
        size_t size;
        const char *key;
    } one[] = {
        { 0, 1, "u8" },   { 1, 1, "i8" },   { 2, 2, "u16" },
        { 3, 2, "i16" },  { 5, 4, "i32" },  { 6, 4, "hunyuan-dense.rope.freq_base" },
        { 10, 8, "big" }, { 11, 8, "i64" }, { 12, 8, "half" },
    };
    for (size_t i = 0; i < sizeof one / sizeof one[0]; i++) {
        put_key(b, one[i].key, one[i].type);
        put(b, bytes, one[i].size);
    }
    put_key(b, "tokenizer.ggml.add_bos_token", 7);
    put(b, bytes, 1);
    put_key(b, "hunyuan-dense.block_count", 4);
    put_u32(b, 2);
    put_key(b, "general.alignment", 4);
    put_u32(b, ALIGN);
    put_array(b, "numbers", 5, 3);
    for (uint32_t i = 0; i < 3; i++)
        put_u32(b, i);
    put_string(b, "general.name", "seed");
}

static void build(struct vocab_bytes *b)
{
    static const uint8_t zero[JM_FORMAT_COUNT * ROWS * COLS * 4 + ALIGN];
    struct vocab v = { .more = { "<eos>", "ab", "abc" },
                       .type = { 3 },
                       .merges = { "a b", "ab c" },
                       .chat_template = "{target_lang} {source}" };
    uint64_t offset = 0, tensors = JM_FORMAT_COUNT;
    vocab_build(&v, b);
    put_values(b);
    memcpy(b->p + 8, &tensors, sizeof tensors);
    memcpy(b->p + 16, &b->keys, sizeof b->keys);
    for (int f = 0; f < JM_FORMAT_COUNT; f++) {
        put_text(b, jm_format_info((jm_format)f)->name);
        put_u32(b, 2);
        put_u64(b, COLS);
        put_u64(b, ROWS);
        put_u32(b, jm_gguf_type_id((jm_format)f));
        put_u64(b, offset);
        offset += (ROWS * jm_format_row_bytes((jm_format)f, COLS) + ALIGN - 1) / ALIGN * ALIGN;
    }
    put(b, zero, (ALIGN - b->n % ALIGN) % ALIGN);
    put(b, zero, offset);
}

int main(int argc, char **argv)
{
    static struct vocab_bytes b;
    jm_err err = { .status = JM_OK };
    jm_gguf *f;
    if (argc != 2) {
        fputs("usage: seed_gguf OUT\n", stderr);
        return EXIT_FAILURE;
    }
    build(&b);
    if (jm_gguf_open_memory((uint8_t *)b.p, b.n - ALIGN, "cut", &f, NULL) == JM_OK) {
        fputs("seed_gguf: the file is accepted cut short\n", stderr);
        return EXIT_FAILURE;
    }
    jm_status st = jm_gguf_open_memory((uint8_t *)b.p, b.n, "seed", &f, &err);
    if (st == JM_OK && jm_gguf_tensor_count(f) != JM_FORMAT_COUNT)
        st = jm_fail(&err, JM_EINPUT, "seed: %zu tensors", jm_gguf_tensor_count(f));
    if (st == JM_OK) {
        jm_gguf_close(f);
        st = jm_write_file(argv[1], b.p, b.n, &err);
    }
    if (st != JM_OK)
        fprintf(stderr, "seed_gguf: %s\n", err.text);
    return st == JM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
