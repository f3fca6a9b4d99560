/* SPDX-License-Identifier: Apache-2.0 */
/* workloads/model/gguf.h: the bundled models, files made by hand, and damaged files. Every image is
 * opened from memory of exactly its size, so that a sanitiser sees reads beyond it. */
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "workloads/model/gguf.h"

/* ---- images made by hand ---- */

struct image {
    uint8_t b[4096];
    size_t n;
};

static void le(struct image *m, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n && m->n < sizeof m->b; i++)
        m->b[m->n++] = (uint8_t)(v >> (8 * i));
}

static void str(struct image *m, const char *s)
{
    le(m, strlen(s), 8);
    for (; *s; s++)
        le(m, (uint8_t)*s, 1);
}

static void header(struct image *m, uint32_t version, uint64_t tensors, uint64_t keys)
{
    m->n = 0;
    le(m, 0x46554747, 4); /* "GGUF" */
    le(m, version, 4);
    le(m, tensors, 8);
    le(m, keys, 8);
}

static void key_u32(struct image *m, const char *key, uint32_t v)
{
    str(m, key);
    le(m, 4, 4);
    le(m, v, 4);
}

static void tensor(struct image *m, const char *name, uint64_t cols, uint64_t rows, uint32_t type,
                   uint64_t offset)
{
    str(m, name);
    le(m, 2, 4);
    le(m, cols, 8);
    le(m, rows, 8);
    le(m, type, 4);
    le(m, offset, 8);
}

/* Pads to 32, then n bytes of data. */
static void data(struct image *m, size_t n)
{
    while (m->n % 32 != 0)
        le(m, 0, 1);
    for (size_t i = 0; i < n; i++)
        le(m, 0, 1);
}

/* Opens a copy; reads all data of all tensors when that works. */
static jm_status try_bytes(const uint8_t *p, size_t n, jm_err *err)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    jm_gguf *f = NULL;
    *err = (jm_err){ 0 };
    if (!copy)
        return JM_ENOMEM;
    memcpy(copy, p, n);
    uint8_t *shrunk = n > 0 ? copy : NULL;
    jm_status st = jm_gguf_open_memory(shrunk, n, "image", &f, err);
    CU_ASSERT((st == JM_OK) == (f != NULL));
    CU_ASSERT((st == JM_OK) == (err->text[0] == '\0'));
    unsigned sum = 0;
    for (size_t i = 0; f && i < jm_gguf_tensor_count(f); i++) {
        const struct jm_tensor *t = jm_gguf_tensor_at(f, i);
        size_t bytes = jm_format_row_bytes(t->format, t->cols) * t->rows;
        sum += ((const uint8_t *)t->data)[0];
        sum += ((const uint8_t *)t->data)[bytes - 1];
        CU_ASSERT_PTR_EQUAL(jm_gguf_tensor(f, t->name), t);
    }
    CU_ASSERT(sum <= 510u * 4096u);
    jm_gguf_close(f);
    free(copy);
    return st;
}

static void expect(const struct image *m, jm_status want, const char *words)
{
    jm_err err;
    jm_status st = try_bytes(m->b, m->n, &err);
    CU_ASSERT_EQUAL(st, want);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
    if (st != want || !strstr(err.text, words))
        printf("\n  wanted \"%s\", got %s: %s\n", words, jm_status_name(st), err.text);
}

/* ---- the bundled models ---- */

static jm_gguf *open_model(const char *name)
{
    char path[4096];
    jm_gguf *f = NULL;
    jm_err err = { 0 };
    snprintf(path, sizeof path, "%s/%s", JM_DATA, name);
    CU_ASSERT_EQUAL(jm_gguf_open(path, &f, &err), JM_OK);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    return f;
}

static bool same(jm_str s, const char *want)
{
    return s.n == strlen(want) && memcmp(s.p, want, s.n) == 0;
}

static void check_metadata(const jm_gguf *f)
{
    jm_str s;
    uint32_t u = 0;
    double d = 0.0;
    bool b = true;
    CU_ASSERT(jm_gguf_str(f, "general.architecture", &s) && same(s, "hunyuan-dense"));
    CU_ASSERT(jm_gguf_u32(f, "hunyuan-dense.block_count", &u) && u == 6);
    CU_ASSERT(jm_gguf_u32(f, "hunyuan-dense.embedding_length", &u) && u == 256);
    CU_ASSERT(jm_gguf_f64(f, "hunyuan-dense.rope.freq_base", &d) && d == 10000.0);
    CU_ASSERT(jm_gguf_bool(f, "tokenizer.ggml.add_bos_token", &b) && !b);
    CU_ASSERT_FALSE(jm_gguf_u32(f, "general.architecture", &u));
    CU_ASSERT_FALSE(jm_gguf_u32(f, "no.such.key", &u));
    CU_ASSERT_FALSE(jm_gguf_f64(f, "hunyuan-dense.block_count", &d));
    const jm_str *tokens = NULL;
    const int32_t *kinds = NULL;
    size_t n = 0;
    CU_ASSERT(jm_gguf_str_array(f, "tokenizer.ggml.tokens", &tokens, &n) && n == 8192);
    CU_ASSERT(n == 8192 && same(tokens[0], "<|bos|>"));
    CU_ASSERT(jm_gguf_i32_array(f, "tokenizer.ggml.token_type", &kinds, &n) && n == 8192);
    CU_ASSERT(kinds && kinds[0] == 3);
    CU_ASSERT_FALSE(jm_gguf_i32_array(f, "tokenizer.ggml.tokens", &kinds, &n));
}

static void test_models(void)
{
    static const struct {
        const char *file;
        jm_format layers;
    } models[] = {
        { .file = "tiny-mt-f16.gguf", .layers = JM_F16 },
        { .file = "tiny-mt-stq1_0.gguf", .layers = JM_STQ1_0 },
    };
    for (size_t i = 0; i < 2; i++) {
        jm_gguf *f = open_model(models[i].file);
        if (!f)
            continue;
        check_metadata(f);
        CU_ASSERT_EQUAL(jm_gguf_version(f), 3);
        CU_ASSERT_EQUAL(jm_gguf_tensor_count(f), 68);
        const struct jm_tensor *t = jm_gguf_tensor(f, "blk.5.ffn_down.weight");
        CU_ASSERT(t && t->cols == 768 && t->rows == 256 && t->format == models[i].layers);
        t = jm_gguf_tensor(f, "output_norm.weight");
        CU_ASSERT(t && t->cols == 256 && t->rows == 1 && t->format == JM_F32);
        CU_ASSERT_PTR_NULL(jm_gguf_tensor(f, "blk.6.ffn_down.weight"));
        jm_gguf_close(f);
    }
    jm_gguf *f = (jm_gguf *)&models;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL(jm_gguf_open("/nonexistent/x.gguf", &f, &err), JM_ENOTFOUND);
    CU_ASSERT_PTR_NULL(f);
    jm_gguf_close(NULL);
}

static bool map_model(jm_map *map)
{
    char path[4096];
    jm_err err = { 0 };
    snprintf(path, sizeof path, "%s/tiny-mt-f16.gguf", JM_DATA);
    bool ok = jm_map_open(path, map, &err) == JM_OK && map->bytes > 300000;
    CU_ASSERT(ok);
    return ok;
}

static void test_truncated(void)
{
    jm_map map;
    jm_err err;
    if (!map_model(&map))
        return;
    for (size_t n = 0; n < 1500; n++)
        CU_ASSERT_NOT_EQUAL(try_bytes(map.data, n, &err), JM_OK);
    for (size_t n = 1500; n < 290000; n += 1511)
        CU_ASSERT_NOT_EQUAL(try_bytes(map.data, n, &err), JM_OK);
    for (size_t n = map.bytes - 3; n < map.bytes; n++)
        CU_ASSERT_NOT_EQUAL(try_bytes(map.data, n, &err), JM_OK);
    CU_ASSERT_EQUAL(try_bytes(map.data, map.bytes, &err), JM_OK);
    jm_map_close(&map);
}

/* ---- files made by hand ---- */

static void good_file(struct image *m, uint32_t version)
{
    header(m, version, 2, 4);
    str(m, "general.name");
    le(m, 8, 4);
    str(m, "by hand");
    str(m, "numbers");
    le(m, 9, 4);
    le(m, 3, 4); /* i16 */
    le(m, 3, 8);
    le(m, 0xffff, 2);
    le(m, 7, 2);
    le(m, 0x8000, 2);
    str(m, "big");
    le(m, 10, 4);
    le(m, UINT64_C(1) << 32, 8);
    str(m, "half");
    le(m, 12, 4);
    le(m, UINT64_C(0x3fe0000000000000), 8);
    tensor(m, "b", 32, 2, 8, 32); /* Q8_0: 68 bytes */
    str(m, "a");
    le(m, 3, 4); /* 2 x 2 x 2: folded to 4 rows */
    le(m, 2, 8);
    le(m, 2, 8);
    le(m, 2, 8);
    le(m, 1, 4); /* F16: 16 bytes */
    le(m, 0, 8);
    data(m, 32 + 68);
}

static void test_by_hand(void)
{
    for (uint32_t version = 2; version <= 3; version++) {
        struct image m;
        jm_err err = { 0 };
        jm_gguf *f = NULL;
        good_file(&m, version);
        CU_ASSERT_EQUAL(jm_gguf_open_memory(m.b, m.n, "hand", &f, &err), JM_OK);
        if (!f)
            continue;
        jm_str s;
        const int32_t *v;
        size_t n;
        uint32_t u;
        double d;
        CU_ASSERT_EQUAL(jm_gguf_version(f), version);
        CU_ASSERT_STRING_EQUAL(jm_gguf_path(f), "hand");
        CU_ASSERT_EQUAL(jm_gguf_bytes(f), m.n);
        CU_ASSERT(jm_gguf_str(f, "general.name", &s) && same(s, "by hand"));
        CU_ASSERT(jm_gguf_i32_array(f, "numbers", &v, &n) && n == 3 && v[0] == -1 && v[1] == 7 &&
                  v[2] == -32768);
        CU_ASSERT_FALSE(jm_gguf_u32(f, "big", &u));
        CU_ASSERT(jm_gguf_f64(f, "half", &d) && d == 0.5);
        const struct jm_tensor *a = jm_gguf_tensor(f, "a");
        CU_ASSERT(a && a->cols == 2 && a->rows == 4 && a->format == JM_F16);
        CU_ASSERT_STRING_EQUAL(jm_gguf_tensor_at(f, 0)->name, "b");
        jm_gguf_close(f);
    }
}

static void test_header_hostile(void)
{
    struct image m;
    header(&m, 3, 0, 0);
    expect(&m, JM_OK, "");
    m.b[0] = 'X';
    expect(&m, JM_EINPUT, "not a GGUF file");
    header(&m, 1, 0, 0);
    expect(&m, JM_EUNSUPPORTED, "version 1");
    header(&m, 0x03000000, 0, 0);
    expect(&m, JM_EUNSUPPORTED, "big-endian");
    header(&m, 3, UINT64_MAX, 0);
    expect(&m, JM_EINPUT, "cannot fit");
    header(&m, 3, 0, UINT64_MAX / 8);
    expect(&m, JM_EINPUT, "byte 24");
    header(&m, 3, 0, 1);
    le(&m, UINT64_MAX - 3, 8); /* length of the key */
    data(&m, 32);
    expect(&m, JM_EINPUT, "a metadata key needs");
    header(&m, 3, 0, 2);
    key_u32(&m, "twice", 1);
    key_u32(&m, "twice", 2);
    expect(&m, JM_EINPUT, "\"twice\" appears a second time");
    static const uint32_t bad[] = { 0, 1, 4, 24, 33, UINT32_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        header(&m, 3, 0, 1);
        key_u32(&m, "general.alignment", bad[i]);
        expect(&m, JM_EINPUT, "general.alignment");
    }
    header(&m, 3, 0, 1);
    str(&m, "k\n\x1b");
    le(&m, 13, 4);
    data(&m, 32);
    expect(&m, JM_EINPUT, "\"k??\" has unknown type 13");
}

static void array(struct image *m, uint32_t type, uint64_t n)
{
    header(m, 3, 0, 1);
    str(m, "list");
    le(m, 9, 4);
    le(m, type, 4);
    le(m, n, 8);
    data(m, 64);
}

static void test_arrays_hostile(void)
{
    struct image m;
    array(&m, 9, 1);
    expect(&m, JM_EUNSUPPORTED, "array of arrays");
    array(&m, 99, 1);
    expect(&m, JM_EINPUT, "array of unknown type 99");
    array(&m, 8, UINT64_MAX / 4);
    expect(&m, JM_EINPUT, "cannot fit");
    array(&m, 10, UINT64_C(0x2000000000000001)); /* times 8 overflows to 8 */
    expect(&m, JM_EINPUT, "cannot fit");
    array(&m, 5, 0);
    expect(&m, JM_OK, "");
    array(&m, 8, 2); /* two empty strings */
    expect(&m, JM_OK, "");
    array(&m, 0, 10000);
    expect(&m, JM_EINPUT, "cannot fit");
}

/* One tensor of given shape over so many bytes of data. */
static void one(struct image *m, uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset,
                size_t bytes)
{
    header(m, 3, 1, 0);
    tensor(m, "w", cols, rows, type, offset);
    data(m, bytes);
}

static void test_tensors_hostile(void)
{
    struct image m;
    one(&m, 4, 2, 0, 0, 32);
    expect(&m, JM_OK, "");
    one(&m, 4, 2, 0, 0, 31);
    expect(&m, JM_EINPUT, "beyond the end");
    one(&m, 4, 2, 0, 32, 32);
    expect(&m, JM_EINPUT, "beyond the end");
    one(&m, 4, 2, 0, UINT64_MAX - 31, 32);
    expect(&m, JM_EINPUT, "beyond the end");
    one(&m, 4, 2, 0, 8, 64);
    expect(&m, JM_EINPUT, "not a multiple of the alignment");
    one(&m, 0, 2, 0, 0, 32);
    expect(&m, JM_EINPUT, "zero or too large");
    one(&m, UINT64_C(1) << 32, 2, 0, 0, 32);
    expect(&m, JM_EINPUT, "zero or too large");
    one(&m, UINT32_MAX, UINT32_MAX, 0, 0, 32);
    expect(&m, JM_EINPUT, "larger than any file");
    one(&m, 33, 2, 8, 0, 128);
    expect(&m, JM_EINPUT, "whole blocks of 32");
    one(&m, 32, 2, 3, 0, 128);
    expect(&m, JM_EUNSUPPORTED, "type 3 (Q4_1)");
    one(&m, 32, 2, 1000000, 0, 128);
    expect(&m, JM_EUNSUPPORTED, "type 1000000 (unknown)");
    header(&m, 3, 2, 0);
    tensor(&m, "w", 4, 2, 0, 0);
    tensor(&m, "w", 4, 2, 0, 32);
    data(&m, 64);
    expect(&m, JM_EINPUT, "\"w\" appears a second time");
    header(&m, 3, 2, 0);
    tensor(&m, "w", 4, 4, 0, 0);
    tensor(&m, "v", 4, 2, 0, 32);
    data(&m, 96);
    expect(&m, JM_EINPUT, "overlaps");
    header(&m, 3, 1, 0);
    tensor(&m, "", 4, 2, 0, 0);
    data(&m, 64);
    expect(&m, JM_EINPUT, "name is empty");
    for (uint32_t n_dims = 0; n_dims < 7; n_dims += 5) {
        header(&m, 3, 1, 0);
        str(&m, "w");
        le(&m, n_dims, 4);
        data(&m, 96);
        expect(&m, JM_EINPUT, "dimensions");
    }
    header(&m, 3, 1, 0); /* a product of dimensions that wraps to a small number */
    str(&m, "w");
    le(&m, 4, 4);
    le(&m, 4, 8);
    for (int i = 0; i < 3; i++)
        le(&m, UINT64_C(1) << 22, 8);
    le(&m, 0, 4);
    le(&m, 0, 8);
    data(&m, 96);
    expect(&m, JM_EINPUT, "zero or too large");
}

/* Type 42: 256 x 4 weights are 168 bytes of STQ1_0, 288 (64 a block) or 272 (128) of Q2_0. */
static void test_type_42(void)
{
    struct image m;
    one(&m, 256, 4, 42, 0, 168);
    expect(&m, JM_OK, "");
    one(&m, 256, 4, 42, 0, 192);
    expect(&m, JM_OK, "");
    one(&m, 256, 4, 43, 0, 168);
    expect(&m, JM_OK, "");
    one(&m, 256, 4, 42, 0, 272);
    expect(&m, JM_EUNSUPPORTED, "is Q2_0");
    one(&m, 256, 4, 42, 0, 288);
    expect(&m, JM_EUNSUPPORTED, "is Q2_0");
    one(&m, 128, 4, 42, 0, 136);
    expect(&m, JM_EUNSUPPORTED, "is Q2_0");
    one(&m, 256, 4, 42, 0, 230);
    expect(&m, JM_EINPUT, "no meaning");
    one(&m, 256, 4, 42, 320, 168);
    expect(&m, JM_EINPUT, "no meaning");
    /* With coarse alignment both meanings fit one small row. */
    header(&m, 3, 1, 1);
    key_u32(&m, "general.alignment", 256);
    tensor(&m, "w", 256, 1, 42, 0);
    while (m.n % 256 != 0)
        le(&m, 0, 1);
    for (int i = 0; i < 72; i++)
        le(&m, 0, 1);
    expect(&m, JM_EUNSUPPORTED, "may be STQ1_0 or Q2_0");
    header(&m, 3, 2, 0); /* the room ends where the next tensor begins */
    tensor(&m, "next", 4, 2, 0, 192);
    tensor(&m, "w", 256, 4, 42, 0);
    data(&m, 192 + 32);
    expect(&m, JM_OK, "");
}

/* ---- chance ---- */

static void flip(uint8_t *p, size_t n, jm_rng *rng)
{
    for (uint64_t k = 1 + jm_rng_below(rng, 3); k > 0; k--)
        p[jm_rng_below(rng, n)] ^= (uint8_t)(1u << jm_rng_below(rng, 8));
}

static void test_bit_flips(void)
{
    struct image good, m;
    jm_err err;
    jm_rng rng = { .state = 42 };
    good_file(&good, 3);
    for (int i = 0; i < 6000; i++) {
        m = good;
        flip(m.b, m.n, &rng);
        try_bytes(m.b, m.n, &err);
    }
    jm_map map;
    if (!map_model(&map))
        return;
    /* The names, shapes and offsets of the tensors end at byte 271703. */
    uint8_t *copy = malloc(map.bytes);
    for (int i = 0; copy && i < 300; i++) {
        jm_gguf *f = NULL;
        size_t at = i % 2 ? 0 : 267500, n = i % 2 ? 1100 : 4203;
        if (i == 0)
            memcpy(copy, map.data, map.bytes);
        flip(copy + at, n, &rng);
        err = (jm_err){ 0 };
        jm_status st = jm_gguf_open_memory(copy, map.bytes, "flipped", &f, &err);
        CU_ASSERT((st == JM_OK) == (f != NULL));
        jm_gguf_close(f);
        memcpy(copy + at, map.data + at, n);
    }
    free(copy);
    jm_map_close(&map);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("gguf", NULL, NULL);
    CU_add_test(s, "bundled models", test_models);
    CU_add_test(s, "truncated", test_truncated);
    CU_add_test(s, "by hand, v2 and v3", test_by_hand);
    CU_add_test(s, "hostile header", test_header_hostile);
    CU_add_test(s, "hostile arrays", test_arrays_hostile);
    CU_add_test(s, "hostile tensors", test_tensors_hostile);
    CU_add_test(s, "type 42", test_type_42);
    CU_add_test(s, "bit flips", test_bit_flips);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() > 0;
    CU_cleanup_registry();
    return failed;
}
