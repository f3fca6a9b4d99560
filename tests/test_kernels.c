/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel of every set this machine can run, against the scalar reference: random data, edge
 * sizes, zeros, extreme scales, and rows alone against rows among others. JM_SEED sets the seed. */
#include <CUnit/Basic.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/kernels.h"
#include "base/rng.h"

enum { MAX_ROWS = 29, BLOCK = 32 };

static const char *const sets[] = { "avx2", "avx512" };
static uint64_t seed = 20240917;

static float random_float(jm_rng *r, float scale)
{
    return (float)(jm_rng_double(r) * 2 - 1) * scale;
}

/* A weight of random levels in its format's own encoding. */
static void *random_weight(jm_rng *r, jm_format f, uint32_t rows, uint32_t cols, float scale)
{
    size_t bytes = jm_format_row_bytes(f, cols);
    const struct jm_format_info *fi = jm_format_info(f);
    uint8_t *data = malloc(rows * bytes);
    float *row = malloc(cols * sizeof *row);
    for (uint32_t o = 0; o < rows; o++) {
        uint8_t *dst = data + o * bytes;
        for (uint32_t k = 0; k < cols; k++)
            row[k] = random_float(r, scale);
        if (jm_format_encode(f, row, dst, cols))
            continue;
        for (size_t i = 0; i < bytes; i++)
            dst[i] = (uint8_t)jm_rng_u64(r);
        for (size_t b = 0; b < bytes / fi->block_bytes; b++) { /* STQ1_0: a sane scale */
            uint16_t d = jm_f32_to_f16(random_float(r, scale));
            memcpy(dst + (b + 1) * fi->block_bytes - 2, &d, 2);
        }
    }
    free(row);
    return data;
}

struct acts {
    float *f, *d;
    int8_t *q;
    int32_t *sum;
};

/* Activations of which the quantised ones are exactly what the float ones say, so that all kinds
 * can be held against one reference: f = q * d. */
static struct acts random_acts(jm_rng *r, uint32_t rows, uint32_t cols, float scale)
{
    uint32_t n = cols / BLOCK;
    struct acts a = { .f = malloc(rows * cols * sizeof(float)),
                      .d = malloc((rows * n + 1) * sizeof(float)),
                      .q = malloc(rows * cols),
                      .sum = calloc(rows * n + 1, sizeof(int32_t)) };
    for (uint32_t i = 0; i < rows * cols; i++) {
        uint32_t b = i / cols * n + i % cols / BLOCK;
        if (n == 0) {
            a.f[i] = random_float(r, scale);
            continue;
        }
        if (i % cols % BLOCK == 0)
            a.d[b] = jm_rng_below(r, 9) ? fabsf(random_float(r, scale)) : 0.0f;
        a.q[i] = (int8_t)((int)jm_rng_below(r, 255) - 127);
        a.sum[b] += a.q[i];
        a.f[i] = (float)a.q[i] * a.d[b];
    }
    return a;
}

static void free_acts(struct acts *a)
{
    free(a->f);
    free(a->d);
    free(a->q);
    free(a->sum);
}

/* Higham 2002, 3.1: a chain of n roundings is off by at most about n u sum|x w|. n: one rounding a
 * product-sum and one for each widened scale. */
static double bound(const struct jm_tensor *t, uint32_t o, const float *x, float *row)
{
    size_t bytes = jm_format_row_bytes(t->format, t->cols);
    double mag = 0;
    jm_format_decode(t->format, (const uint8_t *)t->data + o * bytes, row, t->cols);
    for (uint32_t k = 0; k < t->cols; k++)
        mag += fabs((double)row[k] * x[k]);
    return (t->cols + 8.0) * (FLT_EPSILON / 2) * mag + FLT_MIN;
}

static void check_linear(const struct jm_cpu_kernels *k, jm_format f, uint32_t rows, uint32_t cols,
                         uint32_t n, float scale)
{
    jm_rng r = { .state = seed ^ (f * 1000003u + rows * 1009u + cols * 17u + n) };
    struct jm_tensor t = { .name = "w", .format = f, .cols = cols, .rows = rows };
    void *data = random_weight(&r, f, rows, cols, scale);
    t.data = data;
    struct acts a = random_acts(&r, n, cols, scale);
    struct jm_acts x = { .f = a.f, .q = a.q, .d = a.d, .sum = a.sum, .cols = cols };
    struct jm_packed plain, packed;
    float *want = calloc(n * rows, sizeof *want), *got = malloc((n * rows + 16) * sizeof *got);
    float *one = malloc(rows * sizeof *one), *row = malloc(cols * sizeof *row);
    CU_ASSERT_FATAL(jm_pack(&t, 1, &plain, NULL) == JM_OK);
    CU_ASSERT_FATAL(jm_pack(&t, k->group, &packed, NULL) == JM_OK);
    for (uint32_t i = 0; i < n * rows + 16; i++)
        got[i] = 12345.0f;
    jm_cpu_scalar.linear(&plain, &x, n, want, rows, 0, plain.n_groups, row);
    k->linear(&packed, &x, n, got, rows, 0, packed.n_groups, row);
    uint32_t bad = 0;
    for (uint32_t i = 0; i < n * rows; i++)
        bad += !(fabs((double)got[i] - want[i]) <= bound(&t, i % rows, a.f + i / rows * cols, row));
    for (uint32_t i = 0; i < 16; i++)
        bad += got[n * rows + i] != 12345.0f; /* nothing written behind the end */
    struct jm_acts last = { .f = a.f + (n - 1) * cols,
                            .q = a.q + (n - 1) * cols,
                            .d = a.d + (n - 1) * (cols / BLOCK),
                            .sum = a.sum + (n - 1) * (cols / BLOCK),
                            .cols = cols };
    k->linear(&packed, &last, 1, one, rows, 0, packed.n_groups, row);
    bad += memcmp(one, got + (n - 1) * rows, rows * sizeof *one) != 0;
    if (bad)
        printf("\n  %s %s: %u rows, %u x %u: %u wrong", k->isa, jm_format_info(f)->name, n, rows,
               cols, bad);
    CU_ASSERT(bad == 0);
    jm_packed_free(&packed);
    free_acts(&a);
    free(data);
    free(want);
    free(got);
    free(one);
    free(row);
}

static void test_linear(void)
{
    static const uint32_t outs[] = { 1, 7, 8, 16, 17, 31, 128, 130, 257 };
    static const uint32_t rows[] = { 1, 2, 3, 4, 5, 8, 12, 13, MAX_ROWS };
    static const jm_format formats[] = { JM_F32, JM_F16, JM_BF16, JM_Q8_0, JM_Q4_0, JM_STQ1_0 };
    static const float scales[] = { 1.0f, 1e-3f, 100.0f };
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        if (!k) {
            printf("\n  %s: not on this machine, skipped", sets[s]);
            continue;
        }
        for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
            uint32_t block = jm_format_info(formats[f])->block;
            for (size_t o = 0; o < sizeof outs / sizeof *outs; o++) {
                for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
                    check_linear(k, formats[f], outs[o], block == 1 ? 37 + (uint32_t)n : block * 2,
                                 rows[n], scales[(o + n) % 3]);
            }
        }
    }
}

static void test_attend(void)
{
    static const uint32_t dims[] = { 1, 8, 15, 16, 33, 64, 128 },
                          lengths[] = { 1, 2, 15, 16, 17, 77 };
    float q[128], k[77 * 130], v[77 * 130], scores[96], want[128], got[128];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (size_t c = 0; set && c < 42; c++) {
            uint32_t dim = dims[c % 7], n = lengths[c / 7];
            jm_rng r = { .state = seed + c };
            for (size_t i = 0; i < 128; i++)
                q[i] = random_float(&r, 3);
            for (size_t i = 0; i < 77 * 130; i++) {
                k[i] = random_float(&r, 3);
                v[i] = random_float(&r, 1);
            }
            jm_cpu_scalar.attend(q, k, v, 130, dim, n, 0.125f, scores, want);
            set->attend(q, k, v, 130, dim, n, 0.125f, scores, got);
            /* scores up to 144 are off by 64 eps of that, which exp turns into a relative error */
            for (uint32_t i = 0; i < dim; i++)
                CU_ASSERT(fabs((double)got[i] - want[i]) <= 4e-5);
        }
    }
}

static void test_swiglu(void)
{
    float gate[37], up[37], want[37], got[37];
    static const float special[] = { 0.0f, -0.0f, 90.0f, -90.0f, 1e30f, -1e30f, 1e-30f };
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (size_t n = 0; set && n <= 37; n++) {
            jm_rng r = { .state = seed + n };
            for (size_t i = 0; i < n; i++) {
                gate[i] = i < 7 ? special[i] : random_float(&r, 20);
                up[i] = random_float(&r, 2);
            }
            jm_cpu_scalar.swiglu(gate, up, want, n);
            set->swiglu(gate, up, got, n);
            for (size_t i = 0; i < n; i++) /* exp to 2e-7, a division, a product */
                CU_ASSERT(fabs((double)got[i] - want[i]) <= 1e-6 * fabs((double)want[i]) + 1e-35);
        }
        if (set) {
            gate[0] = NAN;
            up[0] = 1;
            set->swiglu(gate, up, got, 1);
            CU_ASSERT(isnan(got[0]));
        }
    }
}

/* Bit for bit: both round to nearest even, and sums of integers are exact. */
static void test_quantise(void)
{
    float x[96], want_d[3], got_d[3];
    int8_t want_q[96], got_q[96];
    int32_t want_sum[3], got_sum[3];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (size_t c = 0; set && c < 200; c++) {
            jm_rng r = { .state = seed + c };
            for (size_t i = 0; i < 96; i++)
                x[i] = i / 32 == c % 4 ? 0.0f : random_float(&r, powf(10, (float)(c % 60) - 35));
            if (c % 10 == 9)
                x[c % 96] = c % 20 == 9 ? NAN : -INFINITY;
            jm_cpu_scalar.quantise(x, 96, want_q, want_d, want_sum);
            set->quantise(x, 96, got_q, got_d, got_sum);
            CU_ASSERT(memcmp(want_q, got_q, 96) == 0);
            CU_ASSERT(memcmp(want_sum, got_sum, sizeof want_sum) == 0);
            for (size_t b = 0; b < 3; b++)
                CU_ASSERT((isnan(want_d[b]) && isnan(got_d[b])) ||
                          fabsf(want_d[b] - got_d[b]) <= 0.0f);
        }
    }
}

static void test_unknown_set(void)
{
    CU_ASSERT_PTR_NULL(jm_cpu_kernels_for("sse9"));
    CU_ASSERT_PTR_EQUAL(jm_cpu_kernels_for("scalar"), &jm_cpu_scalar);
    CU_ASSERT_PTR_NOT_NULL(jm_cpu_kernels_for(NULL));
}

int main(void)
{
    if (getenv("JM_SEED"))
        seed = strtoull(getenv("JM_SEED"), NULL, 0);
    printf("seed %llu (JM_SEED)\n", (unsigned long long)seed);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("kernels", NULL, NULL);
    CU_add_test(s, "linear", test_linear);
    CU_add_test(s, "attend", test_attend);
    CU_add_test(s, "swiglu", test_swiglu);
    CU_add_test(s, "quantise", test_quantise);
    CU_add_test(s, "unknown set", test_unknown_set);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
