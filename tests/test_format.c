/* SPDX-License-Identifier: Apache-2.0 */
/* backends/format.h against ggml's own encodings and decodings (fixtures/quant_*), against the
 * definition of half precision, and at the ends of the buffers. */
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/format.h"
#include "base/file.h"
#include "base/rng.h"

enum { ROWS = 4, COLS = 512, VALUES = ROWS * COLS };

static const struct {
    const char *file;
    jm_format format;
    bool encodes;  /* the same bytes as ggml */
    bool searches; /* encodes in its own way */
} golden[] = {
    { .file = "q4_0", .format = JM_Q4_0, .encodes = true },
    { .file = "q5_0", .format = JM_Q5_0, .encodes = true },
    { .file = "q8_0", .format = JM_Q8_0, .encodes = true },
    { .file = "q2_k", .format = JM_Q2_K },
    { .file = "q3_k", .format = JM_Q3_K },
    { .file = "q4_k", .format = JM_Q4_K, .searches = true },
    { .file = "q5_k", .format = JM_Q5_K },
    { .file = "q6_k", .format = JM_Q6_K, .searches = true },
    { .file = "iq4_nl", .format = JM_IQ4_NL },
    { .file = "tq2_0", .format = JM_TQ2_0 },
};

/* Exactly `want` bytes of a fixture in memory of that size, so that a sanitiser sees over-reads. */
static void *load(const char *name, const char *suffix, size_t want)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/quant_%s%s", JM_FIXTURES, name, suffix);
    jm_map map = { 0 };
    jm_err err = { 0 };
    void *copy = NULL;
    if (jm_map_open(path, &map, &err) == JM_OK && map.bytes == want) {
        copy = malloc(want);
        if (copy)
            memcpy(copy, map.data, want);
    }
    CU_ASSERT_PTR_NOT_NULL(copy);
    jm_map_close(&map);
    return copy;
}

static void test_decode_golden(void)
{
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        size_t row = jm_format_row_bytes(golden[i].format, COLS);
        uint8_t *blocks = load(golden[i].file, ".bin", ROWS * row);
        float *want = load(golden[i].file, ".f32", VALUES * sizeof(float));
        float *got = malloc(VALUES * sizeof(float));
        if (blocks && want && got) {
            for (size_t r = 0; r < ROWS; r++)
                jm_format_decode(golden[i].format, blocks + r * row, got + r * COLS, COLS);
            CU_ASSERT_EQUAL(memcmp(got, want, VALUES * sizeof(float)), 0);
        }
        free(blocks);
        free(want);
        free(got);
    }
}

static void test_encode_golden(void)
{
    float *input = load("input", ".f32", VALUES * sizeof(float));
    for (size_t i = 0; input && i < sizeof golden / sizeof golden[0]; i++) {
        size_t row = jm_format_row_bytes(golden[i].format, COLS);
        uint8_t *want = load(golden[i].file, ".bin", ROWS * row);
        uint8_t *got = calloc(ROWS, row);
        const bool encodes = golden[i].encodes || golden[i].searches;
        CU_ASSERT_EQUAL(jm_format_info(golden[i].format)->has_encoder, encodes);
        for (size_t r = 0; got && r < ROWS; r++)
            CU_ASSERT_EQUAL(
                jm_format_encode(golden[i].format, input + r * COLS, got + r * row, COLS), encodes);
        if (golden[i].encodes && want && got)
            CU_ASSERT_EQUAL(memcmp(got, want, ROWS * row), 0);
        free(want);
        free(got);
    }
    free(input);
}

/* Root mean square of what encoding and decoding a row changes. */
static double round_trip(jm_format f, const float *x, size_t n)
{
    uint8_t *blocks = calloc(1, jm_format_row_bytes(f, n));
    float *y = calloc(n, sizeof *y);
    double squares = INFINITY;
    if (blocks && y && jm_format_encode(f, x, blocks, n)) {
        jm_format_decode(f, blocks, y, n);
        squares = 0;
        for (size_t i = 0; i < n; i++)
            squares += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
    }
    free(blocks);
    free(y);
    return sqrt(squares / (double)n);
}

/* On each row of the fixtures no worse than ggml's own encoding of them by more than 5%. */
static void test_search_golden(void)
{
    float *input = load("input", ".f32", VALUES * sizeof(float));
    for (size_t i = 0; input && i < sizeof golden / sizeof golden[0]; i++) {
        if (!golden[i].searches)
            continue;
        float *decoded = load(golden[i].file, ".f32", VALUES * sizeof(float));
        for (size_t r = 0; decoded && r < ROWS; r++) {
            const float *x = input + r * COLS, *y = decoded + r * COLS;
            double squares = 0, ours = round_trip(golden[i].format, x, COLS);
            for (size_t k = 0; k < COLS; k++)
                squares += ((double)y[k] - (double)x[k]) * ((double)y[k] - (double)x[k]);
            const double theirs = sqrt(squares / COLS);
            if (!(ours <= 1.05 * theirs))
                printf("\n  %s row %zu: error %g, ggml's %g", golden[i].file, r, ours, theirs);
            CU_ASSERT(ours <= 1.05 * theirs);
        }
        free(decoded);
    }
    free(input);
}

/* Sums of 12 uniform numbers are near enough to normal ones. Of 32 the range is 4.1 standard
 * deviations on average, in 15 steps; of 16 the largest is 2.0, in 32 steps; rounding errs by a
 * step / sqrt(12). At any scale that a half can hold, and with any offset. */
static void test_search_random(void)
{
    static const float scales[] = { 1e-3f, 0.02f, 1.0f, 3e4f };
    enum { N = 4096 };
    float x[N];
    jm_rng rng = { .state = 11 };
    for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
        for (size_t i = 0; i < N; i++) {
            double sum = -6;
            for (int k = 0; k < 12; k++)
                sum += jm_rng_double(&rng);
            x[i] = (float)sum * scales[s];
        }
        const double unit = (double)scales[s];
        CU_ASSERT(round_trip(JM_Q4_K, x, N) <= 4.1 / 15 / sqrt(12) * unit);
        CU_ASSERT(round_trip(JM_Q6_K, x, N) <= 2.0 / 32 / sqrt(12) * 1.1 * unit);
        for (size_t i = 0; i < N; i++) /* all below zero: an offset costs nothing */
            x[i] -= 6 * scales[s];
        CU_ASSERT(round_trip(JM_Q4_K, x, N) <= 4.1 / 15 / sqrt(12) * 1.2 * unit);
    }
    for (size_t i = 0; i < N; i++)
        x[i] = -0.25f;
    CU_ASSERT(round_trip(JM_Q4_K, x, N) <= 0.25 * 0x1p-11);
    CU_ASSERT(round_trip(JM_Q6_K, x, N) <= 0.25 * 0x1p-11);
}

static void test_f16_round_trip(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float x = jm_f16_to_f32((uint16_t)h);
        uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
        if (exponent == 31 && mantissa) {
            CU_ASSERT(isnan(x));
            continue;
        }
        double want = exponent == 0    ? ldexp(mantissa, -24)
                      : exponent == 31 ? (double)INFINITY
                                       : ldexp(1024 + mantissa, (int)exponent - 25);
        CU_ASSERT(fabs((double)x) == want && !!signbit(x) == h >> 15);
        CU_ASSERT_EQUAL(jm_f32_to_f16(x), h);
    }
}

/* Between neighbours the nearer one is chosen, and at the middle the even one. */
static void test_f16_rounding(void)
{
    for (uint16_t h = 0; h < 0x7bff; h++) {
        float a = jm_f16_to_f32(h), b = jm_f16_to_f32((uint16_t)(h + 1));
        float middle = a + (b - a) / 2; /* exact: singles are finer */
        CU_ASSERT_EQUAL(jm_f32_to_f16(middle), h & 1 ? h + 1 : h);
        CU_ASSERT_EQUAL(jm_f32_to_f16(nextafterf(middle, 0.0f)), h);
        CU_ASSERT_EQUAL(jm_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        CU_ASSERT_EQUAL(jm_f32_to_f16(-middle), 0x8000 | (h & 1 ? h + 1 : h));
    }
    CU_ASSERT_EQUAL(jm_f32_to_f16(65519.996f), 0x7bff);
    CU_ASSERT_EQUAL(jm_f32_to_f16(65520.0f), 0x7c00);
    CU_ASSERT_EQUAL(jm_f32_to_f16(1e30f), 0x7c00);
    CU_ASSERT_EQUAL(jm_f32_to_f16(NAN) & 0x7e00, 0x7e00);
}

static void test_plain_formats(void)
{
    const float x[5] = { 1.0f, -2.5f, 3.3895314e38f, 1.00390625f, 1.01171875f };
    const uint16_t bf16[5] = { 0x3f80, 0xc020, 0x7f7f, 0x3f80, 0x3f82 };
    uint8_t bytes[5 * 4 + 1];
    float back[5];
    CU_ASSERT(jm_format_encode(JM_F32, x, bytes + 1, 5));
    jm_format_decode(JM_F32, bytes + 1, back, 5);
    CU_ASSERT_EQUAL(memcmp(x, back, sizeof x), 0);
    CU_ASSERT(jm_format_encode(JM_BF16, x, bytes + 1, 5));
    for (size_t i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(bytes[1 + 2 * i] | bytes[2 + 2 * i] << 8, bf16[i]);
    jm_format_decode(JM_BF16, bytes + 1, back, 5);
    CU_ASSERT_EQUAL(back[1], -2.5f);
    CU_ASSERT(jm_format_encode(JM_F16, x, bytes + 1, 2));
    jm_format_decode(JM_F16, bytes + 1, back, 2);
    CU_ASSERT(back[0] == 1.0f && back[1] == -2.5f);
    const float nan = NAN;
    CU_ASSERT(jm_format_encode(JM_BF16, &nan, bytes, 1));
    jm_format_decode(JM_BF16, bytes, back, 1);
    CU_ASSERT(isnan(back[0]));
}

/* Every code and sign in every group, from the definition: the zero lane is code / 4; of the kept
 * lanes the first is positive, and bits 0 and 1 of the code negate the second and the third. */
static void test_stq(void)
{
    CU_ASSERT_EQUAL(jm_format_row_bytes(JM_STQ1_0, 512), 84);
    for (int g = 0; g < 64; g++) {
        for (int code = 0; code < 16; code++) {
            for (int negative = 0; negative < 2; negative++) {
                uint8_t block[42] = { 0 };
                float x[256];
                block[g / 2] = (uint8_t)(code << (g % 2 * 4));
                block[32 + g / 8] = (uint8_t)(negative << (g % 8));
                block[41] = 0x40; /* d = 2 */
                jm_format_decode(JM_STQ1_0, block, x, 256);
                float want[4], s = negative ? -2.0f : 2.0f;
                const float kept[3] = { s, code & 1 ? -s : s, code & 2 ? -s : s };
                for (int p = 0, k = 0; p < 4; p++)
                    want[p] = p == code / 4 ? 0.0f : kept[k++];
                for (int p = 0; p < 4; p++)
                    CU_ASSERT_EQUAL(x[g / 16 * 64 + p * 16 + g % 16], want[p]);
            }
        }
    }
}

static void test_names_and_sizes(void)
{
    jm_format f = JM_FORMAT_COUNT;
    CU_ASSERT(jm_format_by_name("q4_k", &f) && f == JM_Q4_K);
    CU_ASSERT(jm_format_by_name("STQ1_0", &f) && f == JM_STQ1_0);
    CU_ASSERT_FALSE(jm_format_by_name("Q4", &f));
    CU_ASSERT_FALSE(jm_format_by_name("", &f));
    for (int i = 0; i < JM_FORMAT_COUNT; i++) {
        CU_ASSERT(jm_format_by_name(jm_format_info((jm_format)i)->name, &f) && f == (jm_format)i);
        size_t block = jm_format_info(f)->block;
        CU_ASSERT_EQUAL(jm_format_row_bytes(f, 3 * block), 3 * jm_format_info(f)->block_bytes);
        if (block > 1)
            CU_ASSERT_EQUAL(jm_format_row_bytes(f, block + 1), 0);
    }
    CU_ASSERT_EQUAL(jm_format_row_bytes(JM_F32, SIZE_MAX), 0);
}

/* Any bytes decode, and any numbers encode, inside their buffers and without undefined results. */
static void test_hostile(void)
{
    jm_rng rng = { .state = 7 };
    for (int i = 0; i < JM_FORMAT_COUNT; i++) {
        jm_format f = (jm_format)i;
        size_t n = 2 * jm_format_info(f)->block, bytes = jm_format_row_bytes(f, n);
        uint8_t *src = malloc(bytes);
        float *dst = malloc(n * sizeof *dst);
        for (int round = 0; src && dst && round < 200; round++) {
            for (size_t k = 0; k < bytes; k++)
                src[k] = (uint8_t)jm_rng_u64(&rng);
            jm_format_decode(f, src, dst, n);
            for (size_t k = 0; k < n; k++) {
                uint32_t bits = (uint32_t)jm_rng_u64(&rng);
                memcpy(&dst[k], &bits, sizeof bits);
            }
            jm_format_encode(f, dst, src, n);
        }
        if (dst) {
            for (size_t k = 0; k < n; k++)
                dst[k] = 0.0f;
            if (src && jm_format_encode(f, dst, src, n)) {
                jm_format_decode(f, src, dst, n);
                for (size_t k = 0; k < n; k++)
                    CU_ASSERT_EQUAL(dst[k], 0.0f);
            }
        }
        free(src);
        free(dst);
    }
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("format", NULL, NULL);
    CU_add_test(s, "decodes as ggml", test_decode_golden);
    CU_add_test(s, "encodes as ggml", test_encode_golden);
    CU_add_test(s, "searches as well as ggml", test_search_golden);
    CU_add_test(s, "search errors", test_search_random);
    CU_add_test(s, "f16 round trip", test_f16_round_trip);
    CU_add_test(s, "f16 rounding", test_f16_rounding);
    CU_add_test(s, "plain formats", test_plain_formats);
    CU_add_test(s, "STQ1_0", test_stq);
    CU_add_test(s, "names and sizes", test_names_and_sizes);
    CU_add_test(s, "hostile", test_hostile);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() > 0;
    CU_cleanup_registry();
    return failed;
}
