/* SPDX-License-Identifier: Apache-2.0 */
/* The noise of pictures: Philox against its authors' vectors, Box-Muller against libm, the bits
 * that must never change. */
#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sha256.h"
#include "workloads/imagegen/noise.h"

/* The three lines "philox4x32 10" of Random123's kat_vectors. */
static void test_known_answers(void)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } kat[] = {
        { .want = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { .counter = { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          .key = { 0xffffffff, 0xffffffff },
          .want = { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { .counter = { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          .key = { 0xa4093822, 0x299f31d0 },
          .want = { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof kat / sizeof kat[0]; i++) {
        uint32_t got[4];
        jm_philox4x32_10(kat[i].counter, kat[i].key, got);
        CU_ASSERT_EQUAL(memcmp(got, kat[i].want, sizeof got), 0);
    }
}

/* The formula of the header with libm. Ours and libm's f64 are each within some 2^-52 relative of
 * the truth, so after rounding to f32 they differ by one step at most. */
static void test_against_libm(void)
{
    enum { N = 20000 };
    static float got[N];
    const uint64_t seed = UINT64_C(0x123456789abcdef0);
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const double two_pi = 2 * acos(-1.0);
    jm_noise_fill(seed, got, N);
    for (uint32_t b = 0; b < N / 4; b++) {
        uint32_t x[4];
        jm_philox4x32_10((uint32_t[]){ b, 0, 0, 0 }, key, x);
        for (int pair = 0; pair < 2; pair++) {
            double r = sqrt(-2 * log((x[2 * pair] + 1.0) * 0x1p-32));
            double a = two_pi * x[2 * pair + 1] * 0x1p-32;
            double c = r * cos(a), s = r * sin(a);
            const float *g = got + 4 * (size_t)b + 2 * pair;
            CU_ASSERT(fabs(g[0] - c) <= 0x1p-23 * fabs(c) + 1e-14);
            CU_ASSERT(fabs(g[1] - s) <= 0x1p-23 * fabs(s) + 1e-14);
        }
    }
}

/* Mean, variance and fourth moment of 4 million values, each within five standard errors. */
static void test_moments(void)
{
    enum { N = 1 << 22 };
    float *v = malloc(N * sizeof *v);
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    double m1 = 0, m2 = 0, m4 = 0;
    jm_noise_fill(7, v, N);
    for (size_t i = 0; i < N; i++) {
        double x = v[i];
        m1 += x;
        m2 += x * x;
        m4 += x * x * x * x;
    }
    CU_ASSERT(fabs(m1 / N) <= 5 * sqrt(1.0 / N));
    CU_ASSERT(fabs(m2 / N - 1) <= 5 * sqrt(2.0 / N));
    CU_ASSERT(fabs(m4 / N - 3) <= 5 * sqrt(96.0 / N));
    free(v);
}

/* A value depends on seed and place alone, not on how many are asked for. */
static void test_prefix(void)
{
    float all[67], part[67];
    jm_noise_fill(3, all, 67);
    for (size_t n = 0; n < 67; n++) {
        memset(part, 0x7f, sizeof part);
        jm_noise_fill(3, part, n);
        CU_ASSERT_EQUAL(memcmp(part, all, n * sizeof *part), 0);
        CU_ASSERT(n == 67 || memcmp(part + n, all + n, sizeof *part) != 0);
    }
    jm_noise_fill(4, part, 67);
    CU_ASSERT_NOT_EQUAL(memcmp(part, all, sizeof all), 0);
}

/* Changing one bit of the noise changes every picture and every record made before. */
static void test_frozen(void)
{
    float v[12288];
    char hex[JM_SHA256_HEX];
    jm_noise_fill(1, v, 12288);
    CU_ASSERT_EQUAL(jm_sha256(v, sizeof v, hex, NULL), JM_OK);
    CU_ASSERT_STRING_EQUAL(hex, "2e81d3e0f142f8e67bf0f9201f3e1bc4f3736442ca399a448509d2357cfd71df");
}

static void test_file(void)
{
    char path[] = "/tmp/jm_noise_XXXXXX";
    float v[100], back[100];
    jm_err err = { 0 };
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    jm_noise_fill(9, v, 100);
    CU_ASSERT_EQUAL(jm_write_file(path, v, sizeof v, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_noise_read(path, back, 100, &err), JM_OK);
    CU_ASSERT_EQUAL(memcmp(v, back, sizeof v), 0);
    CU_ASSERT_EQUAL(jm_noise_read(path, back, 99, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "400 bytes"));
    v[41] = NAN;
    err = (jm_err){ 0 };
    CU_ASSERT_EQUAL(jm_write_file(path, v, sizeof v, &err), JM_OK);
    CU_ASSERT_EQUAL(jm_noise_read(path, back, 100, &err), JM_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "value 41"));
    unlink(path);
    err = (jm_err){ 0 };
    CU_ASSERT_EQUAL(jm_noise_read(path, back, 100, &err), JM_ENOTFOUND);
}

int main(void)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite s = CU_add_suite("noise", NULL, NULL);
    CU_add_test(s, "Philox known answers", test_known_answers);
    CU_add_test(s, "Box-Muller against libm", test_against_libm);
    CU_add_test(s, "moments", test_moments);
    CU_add_test(s, "prefix", test_prefix);
    CU_add_test(s, "frozen bits", test_frozen);
    CU_add_test(s, "file", test_file);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0;
    CU_cleanup_registry();
    return failed;
}
