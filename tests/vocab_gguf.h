/* SPDX-License-Identifier: Apache-2.0 */
/* Builds small GGUF files in memory with a byte-level vocabulary, for tests of tokenizer and
 * prompts. Sizes are the tests' own and known to fit. */
#ifndef JM_TESTS_VOCAB_GGUF_H
#define JM_TESTS_VOCAB_GGUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VOCAB_ROOM = 65536, VOCAB_MORE = 16 };

struct vocab {
    const char *model, *pre;
    const char *more[VOCAB_MORE]; /* tokens 256, 257, ..., up to the first NULL */
    int32_t type[VOCAB_MORE];     /* of more; 0 counts as normal */
    const char *merges[VOCAB_MORE];
    const char *chat_template; /* NULL: none */
    int missing_byte;          /* spelled otherwise; 0: none is missing */
    int fewer_types;
};

struct vocab_bytes {
    char p[VOCAB_ROOM];
    size_t n;
    uint64_t keys;
};

static void put(struct vocab_bytes *b, const void *p, size_t n)
{
    if (b->n + n <= sizeof b->p) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
}

static void put_u32(struct vocab_bytes *b, uint32_t v)
{
    put(b, &v, sizeof v);
}

static void put_u64(struct vocab_bytes *b, uint64_t v)
{
    put(b, &v, sizeof v);
}

static void put_text(struct vocab_bytes *b, const char *s)
{
    put_u64(b, strlen(s));
    put(b, s, strlen(s));
}

static void put_key(struct vocab_bytes *b, const char *key, uint32_t type)
{
    put_text(b, key);
    put_u32(b, type);
    b->keys++;
}

static void put_string(struct vocab_bytes *b, const char *key, const char *value)
{
    put_key(b, key, 8);
    put_text(b, value);
}

static void put_array(struct vocab_bytes *b, const char *key, uint32_t type, size_t n)
{
    put_key(b, key, 9);
    put_u32(b, type);
    put_u64(b, n);
}

static void put_byte_tokens(struct vocab_bytes *b, int missing)
{
    unsigned next = 256;

    for (unsigned i = 0; i < 256; i++) {
        int plain = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        unsigned c = plain ? i : next++;
        char utf8[3] = { (char)c, 0, 0 };
        if (c >= 0x80) {
            utf8[0] = (char)(0xc0 | c >> 6);
            utf8[1] = (char)(0x80 | (c & 0x3f));
        }
        put_text(b, missing && (unsigned)missing == i ? "missing" : utf8);
    }
}

/* The file, in b. */
static void vocab_build(const struct vocab *v, struct vocab_bytes *b)
{
    size_t more = 0, merges = 0;

    while (more < VOCAB_MORE && v->more[more])
        more++;
    while (merges < VOCAB_MORE && v->merges[merges])
        merges++;
    memset(b, 0, sizeof *b);
    put(b, "GGUF", 4);
    put_u32(b, 3);
    put_u64(b, 0);
    put_u64(b, 0); /* keys, filled in below */
    put_string(b, "general.architecture", "hunyuan-dense");
    put_string(b, "tokenizer.ggml.model", v->model ? v->model : "gpt2");
    put_string(b, "tokenizer.ggml.pre", v->pre ? v->pre : "hunyuan-dense");
    put_array(b, "tokenizer.ggml.tokens", 8, 256 + more);
    put_byte_tokens(b, v->missing_byte);
    for (size_t i = 0; i < more; i++)
        put_text(b, v->more[i]);
    put_array(b, "tokenizer.ggml.token_type", 5, 256 + more - (size_t)v->fewer_types);
    for (size_t i = 0; i < 256 + more - (size_t)v->fewer_types; i++)
        put_u32(b, i >= 256 && v->type[i - 256] ? (uint32_t)v->type[i - 256] : 1u);
    put_array(b, "tokenizer.ggml.merges", 8, merges);
    for (size_t i = 0; i < merges; i++)
        put_text(b, v->merges[i]);
    put_key(b, "tokenizer.ggml.eos_token_id", 4);
    put_u32(b, 256);
    if (v->chat_template)
        put_string(b, "tokenizer.chat_template", v->chat_template);
    memcpy(b->p + 16, &b->keys, sizeof b->keys);
}

#endif
