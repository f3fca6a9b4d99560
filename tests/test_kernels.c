/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel of every set this machine can run, against the scalar reference: random data, edge
 * sizes, zeros, extreme scales, and rows alone against rows among others. JM_SEED sets the seed. */
#include <CUnit/Basic.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/kernels.h"
#include "base/rng.h"
#include "tests/bench_kernels.h"
#include "tests/kernel_data.h"

enum { MAX_ROWS = 29, BLOCK = 32 };

static const char *const sets[] = { "avx2", "avx-vnni",     "avx512",   "avx512-vbmi",
                                    "neon", "neon-dotprod", "neon-i8mm" };
static uint64_t seed = 20240917;

/* JM_PACK_I16 rounds weights to half of 2^-13 of the power of two above the block's largest. */
static double rounding(const float *row, const float *x)
{
    float largest = 0;
    double mag = 0;
    int exponent;
    for (int i = 0; i < BLOCK; i++) {
        largest = fmaxf(largest, fabsf(row[i]));
        mag += fabs((double)x[i]);
    }
    frexpf(largest, &exponent);
    return ldexp(0.5, exponent - 13) * mag;
}

/* Higham 2002, 3.1: a chain of n roundings is off by at most about n u sum|x w|. n: one rounding a
 * product-sum and one for each widened scale. */
static double bound(const struct jm_packed *p, uint32_t o, const float *x, float *row)
{
    const struct jm_tensor *t = &p->t;
    size_t bytes = jm_format_row_bytes(t->format, t->cols);
    double mag = 0, rounded = 0;
    jm_format_decode(t->format, (const uint8_t *)t->data + o * bytes, row, t->cols);
    for (uint32_t k = 0; k < t->cols && p->kind == JM_PACK_I16; k += BLOCK)
        rounded += rounding(row + k, x + k);
    for (uint32_t k = 0; k < t->cols; k++)
        mag += fabs((double)row[k] * x[k]);
    return (t->cols + 8.0) * (FLT_EPSILON / 2) * mag + rounded + FLT_MIN;
}

/* Whether tables that are made beforehand make the same y, and each row's are its own. */
static bool same_by_tables(const struct jm_cpu_kernels *k, const struct jm_packed *w,
                           struct jm_acts x, uint32_t n, const float *y)
{
    const size_t bytes = jm_table_bytes(x.cols), rows = w->t.rows;
    uint8_t *table = malloc(n * bytes);
    float *got = malloc(n * rows * sizeof *got);
    for (uint32_t r = 0; r < n; r++)
        k->tables(x.q + r * x.cols, x.cols, table + r * bytes);
    x.table = table;
    k->linear(w, &x, n, got, rows, 0, w->n_groups, NULL);
    bool same = memcmp(got, y, n * rows * sizeof *got) == 0;
    free(table);
    free(got);
    return same;
}

static void check_linear(const struct jm_cpu_kernels *k, jm_format f, uint32_t rows, uint32_t cols,
                         uint32_t n, float scale)
{
    jm_rng r = { .state = seed ^ (f * 1000003u + rows * 1009u + cols * 17u + n) };
    struct jm_tensor t = { .name = "w", .format = f, .cols = cols, .rows = rows };
    void *data = jm_random_weight(&r, f, rows, cols, scale);
    t.data = data;
    struct jm_packed plain, packed;
    CU_ASSERT_FATAL(jm_pack(&t, jm_cpu_scalar.pack, &plain, NULL) == JM_OK);
    CU_ASSERT_FATAL(jm_pack(&t, k->pack, &packed, NULL) == JM_OK);
    struct jm_random_acts a = jm_random_acts(
        &r, n, cols, scale, packed.kind == JM_PACK_I16 ? 14 : 8, jm_rounded_together(&packed));
    struct jm_acts x = jm_random_acts_from(&a, 0);
    float *want = calloc(n * rows, sizeof *want), *got = malloc((n * rows + 16) * sizeof *got);
    float *one = malloc(rows * sizeof *one), *row = malloc(jm_linear_scratch(cols) * sizeof *row);
    for (uint32_t i = 0; i < n * rows + 16; i++)
        got[i] = 12345.0f;
    jm_cpu_scalar.linear(&plain, &x, n, want, rows, 0, plain.n_groups, row);
    k->linear(&packed, &x, n, got, rows, 0, packed.n_groups, row);
    uint32_t bad = 0;
    for (uint32_t i = 0; i < n * rows; i++)
        bad += !(fabs((double)got[i] - want[i]) <=
                 bound(&packed, i % rows, a.f + i / rows * cols, row));
    for (uint32_t i = 0; i < 16; i++)
        bad += got[n * rows + i] != 12345.0f; /* nothing written behind the end */
    if (packed.kind == JM_PACK_STQ_SUMS && n <= JM_TABLE_ROWS)
        bad += !same_by_tables(k, &packed, x, n, got);
    struct jm_acts last = jm_random_acts_from(&a, n - 1);
    k->linear(&packed, &last, 1, one, rows, 0, packed.n_groups, row);
    bad += memcmp(one, got + (n - 1) * rows, rows * sizeof *one) != 0;
    if (bad)
        printf("\n  %s %s: %u rows, %u x %u: %u wrong", k->isa, jm_format_info(f)->name, n, rows,
               cols, bad);
    CU_ASSERT(bad == 0);
    jm_packed_free(&packed);
    jm_random_acts_free(&a);
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
    static const jm_format formats[] = { JM_F32,  JM_F16,  JM_BF16, JM_Q8_0,  JM_Q4_0,
                                         JM_Q5_0, JM_Q4_K, JM_Q6_K, JM_STQ1_0 };
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
                for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
                    uint32_t odd = n % 2 ? 37 + (uint32_t)n : 96; /* columns */
                    check_linear(k, formats[f], outs[o], block == 1 ? odd : block * 2, rows[n],
                                 scales[(o + n) % 3]);
                }
            }
        }
    }
}

/* More columns than are multiplied without a pause, and more rows than fit in the cache at once. */
static void test_long_linear(void)
{
    static const jm_format formats[] = { JM_F16,  JM_Q8_0, JM_Q4_0,  JM_Q5_0,
                                         JM_Q4_K, JM_Q6_K, JM_STQ1_0 };
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t f = 0; k && f < sizeof formats / sizeof *formats; f++) {
            const uint32_t odd = jm_format_info(formats[f])->block == 256 ? 0 : BLOCK;
            check_linear(k, formats[f], 35, JM_SLICE + 256 + odd, 9, 1);
            check_linear(k, formats[f], 35, 2 * JM_SLICE + 256 + odd, 61, 1);
            check_linear(k, formats[f], 33, 512 + odd, 299, 1);
        }
    }
}

/* STQ1_0 takes no more room than in its file where a set has kernels for it. */
static void test_stq_size(void)
{
    struct jm_tensor t = { .name = "w", .format = JM_STQ1_0, .cols = 2048, .rows = 64 };
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        struct jm_packed p;
        size_t bytes, file = t.rows * jm_format_row_bytes(t.format, t.cols);
        if (!k)
            continue;
        CU_ASSERT_FATAL(jm_pack_size(&t, k->pack, &p, &bytes, NULL) == JM_OK);
        CU_ASSERT(k->pack.stq ? bytes == file : bytes > file);
    }
}

/* F16 weights that are not finite make the answer NaN, as they would in floating point. */
static void test_not_finite(void)
{
    uint16_t w[64] = { 0 };
    int16_t q16[32] = { 1 };
    float f[32] = { 1 }, d16[1] = { 1 }, y[2];
    w[3] = 0x7c00; /* infinity, in row 0 */
    struct jm_tensor t = { .name = "w", .format = JM_F16, .cols = 32, .rows = 2, .data = w };
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        struct jm_packed p;
        if (!k)
            continue;
        CU_ASSERT_FATAL(jm_pack(&t, k->pack, &p, NULL) == JM_OK);
        struct jm_acts x = { .f = f, .q16 = q16, .d16 = d16, .cols = 32 };
        k->linear(&p, &x, 1, y, 2, 0, p.n_groups, NULL);
        CU_ASSERT(isnan(y[0]) && fabsf(y[1]) <= 0.0f);
        jm_packed_free(&p);
    }
}

/* Keys as a set wants them, with NaN where no position is. */
static void block_keys(const float *k, uint32_t dim, uint32_t n, uint32_t block, float *out)
{
    for (uint32_t i = 0; i < (n + block - 1) / block * block * dim; i++)
        out[i] = NAN;
    for (uint32_t p = 0; p < n; p++)
        for (uint32_t i = 0; i < dim; i++)
            out[(p / block * dim + i) * block + p % block] = k[p * dim + i];
}

enum { WIDEST = 128 };

/* Kernels may take many heads at once, and positions in blocks: here are several, and odd ends. */
static void test_attend(void)
{
    enum { POSITIONS = 300, PADDED = 304, MANY = 141 };
    static const uint32_t dims[] = { 1, 8, 15, 16, 33, 64, WIDEST },
                          lengths[] = { 1, 2, 15, 16, 17, 77, 128, 129, POSITIONS },
                          heads[] = { 1, 2, 3, 4, 7, 13, 32, MANY };
    static float q[MANY * WIDEST], k[POSITIONS * WIDEST], v[POSITIONS * WIDEST],
        kb[PADDED * WIDEST];
    static uint16_t k16[POSITIONS * WIDEST], v16[POSITIONS * WIDEST], kb16[PADDED * WIDEST];
    static float scores[JM_ATTEND_HEADS * PADDED], want[MANY * WIDEST], got[MANY * WIDEST];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (size_t c = 0; set && c < 63; c++) {
            uint32_t dim = dims[c % 7], n = lengths[c / 7], h = heads[c % 8];
            jm_rng r = { .state = seed + c };
            for (size_t i = 0; i < MANY * WIDEST; i++)
                q[i] = jm_random_float(&r, 3);
            for (size_t i = 0; i < POSITIONS * WIDEST; i++) {
                k[i] = jm_random_float(&r, 3);
                v[i] = jm_random_float(&r, 1);
            }
            block_keys(k, dim, n, set->k_block, kb);
            jm_cpu_scalar.attend(q, h, k, v, dim, n, 0.125f, scores, want);
            set->attend(q, h, kb, v, dim, n, 0.125f, scores, got);
            /* scores up to 144 are off by 64 eps of that, which exp turns into a relative error */
            for (uint32_t i = 0; i < h * dim; i++)
                CU_ASSERT(fabs((double)got[i] - want[i]) <= 4e-5);
            jm_cpu_scalar.to_half(k, k16, POSITIONS * WIDEST);
            jm_cpu_scalar.to_half(v, v16, POSITIONS * WIDEST);
            jm_cpu_scalar.from_half(k16, k, POSITIONS * WIDEST);
            block_keys(k, dim, n, set->k_block, kb);
            set->to_half(kb, kb16, PADDED * WIDEST); /* exact; NaN stays where no key is */
            jm_cpu_scalar.attend16(q, h, k16, v16, dim, n, 0.125f, scores, want);
            set->attend16(q, h, kb16, v16, dim, n, 0.125f, scores, got);
            for (uint32_t i = 0; i < h * dim; i++)
                CU_ASSERT(fabs((double)got[i] - want[i]) <= 4e-5);
        }
    }
}

/* How far a score may be off when a query is rounded to 15 bits for each 32: half a step of each
 * value, times its key. */
static double query_rounding(const float *q, const struct jm_random_kv8 *kv, uint32_t dim,
                             uint32_t n)
{
    double worst = 0;
    for (uint32_t p = 0; p < n; p++) {
        double off = 0;
        for (uint32_t b = 0; b < dim / BLOCK; b++) {
            double largest = 0, keys = 0;
            for (uint32_t i = b * BLOCK; i < (b + 1) * BLOCK; i++) {
                largest = fmax(largest, fabs((double)q[i]));
                keys += abs(kv->k[p * dim + i]);
            }
            off += keys * fabs((double)jm_f16_to_f32(kv->dk[p * dim / BLOCK + b])) * largest / 2 /
                   16319;
        }
        worst = fmax(worst, off);
    }
    return worst;
}

static void test_attend8(void)
{
    enum { LONGEST = 77, HEADS = 7 };
    static const uint32_t dims[] = { 32, 64, 96, 128, JM_ATTEND8_DIM },
                          lengths[] = { 1, 2, 15, 16, 17, LONGEST },
                          heads[] = { 1, 2, 3, 4, HEADS };
    static float q[HEADS * JM_ATTEND8_DIM], scores[JM_ATTEND_HEADS * 80],
        want[HEADS * JM_ATTEND8_DIM], got[HEADS * JM_ATTEND8_DIM];
    static struct jm_random_kv8 rows, blocked;
    const struct jm_kv8 as_rows = jm_kv8_of(&rows), as_blocks = jm_kv8_of(&blocked);
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (size_t c = 0; set && c < 60; c++) {
            uint32_t dim = dims[c % 5], n = lengths[c / 5 % 6], h = heads[(c + c / 5) % 5];
            jm_rng r = { .state = seed + c };
            jm_random_kv8(&r, n, dim, &rows);
            for (size_t i = 0; i < (size_t)HEADS * dim; i++)
                q[i] = i / 32 % 5 == 4 ? 0 : jm_random_float(&r, c < 30 ? 3 : 0.01f);
            jm_block_kv8(&rows, n, dim, set->k_block, &blocked);
            jm_cpu_scalar.attend8(q, h, &as_rows, dim, n, 0.125f, scores, want);
            memset(got, 0x7f, sizeof got);
            set->attend8(q, h, &as_blocks, dim, n, 0.125f, scores, got);
            for (uint32_t head = 0; head < h; head++) {
                /* as in test_attend, for more values; and twice what the scores may be off */
                double most = 4e-5 * fmax(1, dim / 128.0) +
                              2 * 0.125 * query_rounding(q + head * dim, &rows, dim, n);
                for (uint32_t i = head * dim; i < (head + 1) * dim; i++)
                    CU_ASSERT(fabs((double)got[i] - want[i]) <= most);
            }
        }
    }
}

/* All halves to floats, and random floats to halves, bit for bit; NaN only as NaN. */
static void test_halves(void)
{
    enum { N = 1 << 16 };
    static uint16_t h[N], want16[N], got16[N];
    static float want[N], got[N];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        jm_rng r = { .state = seed };
        for (uint32_t i = 0; set && i < N; i++)
            h[i] = (uint16_t)i;
        if (!set)
            continue;
        jm_cpu_scalar.from_half(h, want, N);
        set->from_half(h, got, N - 3); /* an odd end */
        for (uint32_t i = 0; i < N - 3; i++)
            CU_ASSERT(memcmp(&got[i], &want[i], 4) == 0 || (isnan(got[i]) && isnan(want[i])));
        for (uint32_t i = 0; i < N; i++)
            want[i] = jm_random_float(&r, powf(2, (float)(i % 48) - 28));
        jm_cpu_scalar.to_half(want, want16, N);
        set->to_half(want, got16, N - 3);
        CU_ASSERT(memcmp(got16, want16, (N - 3) * sizeof *got16) == 0);
    }
}

static void test_add(void)
{
    float a[77], b[77], got[78] = { 0 };
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        jm_rng r = { .state = seed };
        for (uint32_t i = 0; i < 77; i++) {
            a[i] = jm_random_float(&r, 3);
            b[i] = jm_random_float(&r, 3);
        }
        for (uint32_t n = 1; set && n <= 77; n++) {
            got[n] = 42;
            set->add(a, b, got, n);
            CU_ASSERT(got[n] == 42.0f && got[n - 1] == a[n - 1] + b[n - 1] &&
                      got[0] == a[0] + b[0]);
        }
    }
}

static void test_rms_norm(void)
{
    float x[77], w[77], want[77], got[77];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (uint32_t n = 1; set && n <= 77; n++) {
            jm_rng r = { .state = seed + n };
            for (uint32_t i = 0; i < n; i++) {
                x[i] = jm_random_float(&r, powf(10, (float)(n % 9) - 4));
                w[i] = jm_random_float(&r, 2);
            }
            jm_cpu_scalar.rms_norm(x, w, 1e-5f, want, n);
            set->rms_norm(x, w, 1e-5f, got, n);
            for (uint32_t i = 0; i < n; i++) /* n positive terms, a root, two products */
                CU_ASSERT(fabs((double)got[i] - want[i]) <=
                          (n + 4.0) * FLT_EPSILON * fabs((double)want[i]));
        }
    }
}

static void test_rope(void)
{
    float x[80], turn[80], want[80], got[80];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (uint32_t dim = 2; set && dim <= 80; dim += 2) {
            jm_rng r = { .state = seed + dim };
            for (uint32_t i = 0; i < dim; i++) {
                x[i] = jm_random_float(&r, 3);
                turn[i] = jm_random_float(&r, 1);
            }
            jm_cpu_scalar.rope(x, turn, dim, want);
            set->rope(x, turn, dim, got);
            for (uint32_t i = 0; i < dim; i++) /* two products of at most 3 and a sum */
                CU_ASSERT(fabs((double)got[i] - want[i]) <= 12 * (double)FLT_EPSILON);
        }
    }
}

static void test_argmax(void)
{
    float x[70];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (uint32_t n = 1; set && n <= 70; n++) {
            jm_rng r = { .state = seed + n };
            for (uint32_t i = 0; i < n; i++)
                x[i] = (float)(int)jm_rng_below(&r, 9) - 12.0f; /* many are equal, all negative */
            CU_ASSERT_EQUAL(set->argmax(x, n), jm_cpu_scalar.argmax(x, n));
        }
        if (!set)
            continue;
        for (uint32_t i = 0; i < 70; i++)
            x[i] = NAN;
        CU_ASSERT_EQUAL(set->argmax(x, 70), 0);
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
                gate[i] = i < 7 ? special[i] : jm_random_float(&r, 20);
                up[i] = jm_random_float(&r, 2);
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
                x[i] = i / 32 == c % 4 ? 0.0f : jm_random_float(&r, powf(10, (float)(c % 60) - 35));
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

/* As if all 64 were divided by the larger one of the two scales that 32 would have. */
static void test_quantise64(void)
{
    float x[128], want_d[4], got_d[4], *largest = want_d;
    int8_t got_q[128];
    int32_t got_sum[4], sum[4];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        CU_ASSERT(!set || (set->pack.stq == JM_PACK_STQ_SUMS) == (set->quantise64 != NULL));
        for (size_t c = 0; set && set->quantise64 && c < 200; c++) {
            jm_rng r = { .state = seed + c };
            uint32_t n = c % 2 ? 128 : 64, wrong = 0;
            for (size_t i = 0; i < n; i++)
                x[i] = i / 32 == c % 5 ? 0.0f : jm_random_float(&r, powf(10, (float)(c % 60) - 35));
            if (c % 10 == 9)
                x[c % n] = c % 20 == 9 ? NAN : -INFINITY;
            jm_cpu_quantise(x, n, got_q, want_d, sum);
            for (uint32_t b = 0; b < n / 32; b += 2)
                largest[b] = largest[b + 1] =
                    want_d[b] > want_d[b + 1] || isnan(want_d[b]) ? want_d[b] : want_d[b + 1];
            set->quantise64(x, n, got_q, got_d, got_sum);
            memset(sum, 0, sizeof sum);
            for (uint32_t i = 0; i < n; i++) {
                const float d = largest[i / 32];
                const double q = isnan(d) || d <= 1e-32f ? 0 : (double)x[i] / (double)d;
                wrong += !(fabs(got_q[i] - q) <= 0.5001);
                sum[i / 32] += got_q[i];
            }
            for (uint32_t b = 0; b < n / 32; b++)
                wrong +=
                    (sum[b] != got_sum[b]) ||
                    !(isnan(largest[b]) ? isnan(got_d[b]) : fabsf(largest[b] - got_d[b]) <= 0.0f);
            CU_ASSERT(wrong == 0);
        }
    }
}

static void test_quantise16(void)
{
    float x[96], want_d[3], got_d[3];
    int16_t want_q[96], got_q[96];
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *set = jm_cpu_kernels_for(sets[s]);
        for (size_t c = 0; set && set->quantise16 && c < 200; c++) {
            jm_rng r = { .state = seed + c };
            for (size_t i = 0; i < 96; i++)
                x[i] = i / 32 == c % 4 ? 0.0f : jm_random_float(&r, powf(10, (float)(c % 60) - 35));
            if (c % 10 == 9)
                x[c % 96] = c % 20 == 9 ? NAN : -INFINITY;
            jm_cpu_quantise16(x, 96, want_q, want_d);
            set->quantise16(x, 96, got_q, got_d);
            CU_ASSERT(memcmp(want_q, got_q, sizeof want_q) == 0);
            for (size_t b = 0; b < 3; b++)
                CU_ASSERT((isnan(want_d[b]) && isnan(got_d[b])) ||
                          fabsf(want_d[b] - got_d[b]) <= 0.0f);
            for (size_t i = 0; i < 96; i++)
                CU_ASSERT(got_q[i] >= -8191 && got_q[i] <= 8191);
        }
    }
}

/* ---- norm and SwiGLU rounded at once ---- */

enum { ROUND_COLS = 6 * BLOCK, ROUND_CASES = 400 };

/* What rounding writes of one row, with room behind each. */
struct rounded {
    int8_t q[ROUND_COLS + 16];
    float d[ROUND_COLS / BLOCK + 1], dsum[ROUND_COLS / BLOCK + 1], d16[ROUND_COLS / BLOCK + 1];
    int32_t sum[ROUND_COLS / BLOCK + 1], sum16[ROUND_COLS / 16 + 1];
    int16_t q16[ROUND_COLS + 16];
};

/* The integers of one kind of linear, or of several, by the bits of `kinds`. */
static struct jm_forms forms_in(struct rounded *r, unsigned kinds)
{
    struct jm_forms y = { 0 };
    memset(r, 0x5a, sizeof *r);
    if (kinds & 3)
        y = (struct jm_forms){ .q = r->q, .d = r->d, .sum = r->sum };
    if (kinds & 2) {
        y.dsum = r->dsum;
        y.sum16 = r->sum16;
    }
    if (kinds & 4) {
        y.q16 = r->q16;
        y.d16 = r->d16;
    }
    return y;
}

static void round_apart(const struct jm_cpu_kernels *k, const float *x, uint32_t n,
                        const struct jm_forms *y)
{
    if (y->q)
        k->quantise(x, n, y->q, y->d, y->sum);
    if (y->dsum)
        jm_cpu_sums(y->q, y->d, y->sum, n, y->dsum, y->sum16);
    if (y->q16)
        k->quantise16(x, n, y->q16, y->d16);
}

/* Rows of any scale, with blocks of zeros, and some with values that are not finite, or that the
 * norm or the product makes so. */
static void fill_rows(jm_rng *r, size_t c, float *a, float *b)
{
    float scale = powf(10, (float)(c % 60) - 35);
    for (size_t i = 0; i < ROUND_COLS; i++) {
        a[i] = i / BLOCK == c % 9 ? 0.0f : jm_random_float(r, scale);
        b[i] = jm_random_float(r, 3);
    }
    if (c % 10 == 9)
        (c % 4 < 2 ? a : b)[c % ROUND_COLS] = c % 20 == 9 ? NAN : -INFINITY;
    if (c % 10 == 7)
        b[c % ROUND_COLS] = 3e38f;
}

/* Rounded at once is what it is rounded one after the other, bit for bit, in everything that was
 * asked for; and nothing else is written. */
static void test_round(void)
{
    float a[ROUND_COLS], b[ROUND_COLS], x[ROUND_COLS];
    static struct rounded want, got;
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t c = 0; k && k->norm_round && c < ROUND_CASES; c++) {
            jm_rng r = { .state = seed + c };
            uint32_t n = (uint32_t)(1 + c % (ROUND_COLS / BLOCK)) * BLOCK;
            fill_rows(&r, c, a, b);
            for (unsigned kinds = 1; kinds < (k->quantise16 ? 8 : 4); kinds++) {
                struct jm_forms y = forms_in(&want, kinds), z = forms_in(&got, kinds);
                k->rms_norm(a, b, 1e-5f, x, n);
                round_apart(k, x, n, &y);
                k->norm_round(a, b, 1e-5f, n, &z);
                CU_ASSERT(memcmp(&want, &got, sizeof want) == 0);
                k->swiglu(a, b, x, n);
                round_apart(k, x, n, &y);
                k->swiglu_round(a, b, n, &z);
                CU_ASSERT(memcmp(&want, &got, sizeof want) == 0);
            }
        }
        CU_ASSERT(!k || !k->norm_round == !k->swiglu_round);
    }
}

/* What is said of operation `op` of a set is `how`. */
static bool says(const struct jm_kernel_set *s, const char *op, const char *how)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (strcmp(s->kernel[i].op, op) == 0)
            return strcmp(s->kernel[i].how, how) == 0;
    return false;
}

/* How a set takes weights of a format, by what packing makes of them. */
static const char *how_packed(const struct jm_cpu_kernels *k, jm_format f)
{
    struct jm_tensor t = { .name = "w", .format = f, .rows = 1, .cols = 256 };
    struct jm_packed p;
    size_t bytes;
    CU_ASSERT_FATAL(jm_pack_size(&t, k->pack, &p, &bytes, NULL) == JM_OK);
    if (p.kind == JM_PACK_NONE)
        return "C";
    if (p.kind == JM_PACK_F32 && f != JM_F32)
        return "as F32";
    return p.kind == JM_PACK_I16 ? "as I14" : "own";
}

static const char *own_or_c(bool c)
{
    return c ? "C" : "own";
}

/* What is said of a set is so. */
static void check_set(const struct jm_kernel_set *s, const struct jm_cpu_kernels *k)
{
    static const jm_format formats[] = { JM_F32,  JM_F16,  JM_Q8_0,  JM_Q4_0,
                                         JM_Q4_K, JM_Q6_K, JM_STQ1_0 };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        char op[64];
        snprintf(op, sizeof op, "linear %s", jm_format_info(formats[i])->name);
        CU_ASSERT(says(s, op, how_packed(k, formats[i])));
    }
    CU_ASSERT(says(s, "linear, others", how_packed(k, JM_BF16)));
    CU_ASSERT(says(s, "linear, others", how_packed(k, JM_Q5_0)));
    CU_ASSERT(says(s, "attention", own_or_c(k->attend == jm_cpu_scalar.attend)));
    CU_ASSERT(says(s, "SwiGLU", own_or_c(k->swiglu == jm_cpu_scalar.swiglu)));
    CU_ASSERT(says(s, "GELU", own_or_c(k->gelu == jm_cpu_gelu)));
    CU_ASSERT(says(s, "RMS norm", own_or_c(k->rms_norm == jm_cpu_rms_norm)));
    CU_ASSERT(says(s, "rope", own_or_c(k->rope == jm_cpu_rope)));
    CU_ASSERT(says(s, "argmax", own_or_c(k->argmax == jm_cpu_argmax)));
    CU_ASSERT(says(s, "quantise", own_or_c(k->quantise == jm_cpu_quantise)));
}

static void test_sets(void)
{
    struct jm_kernel_set s;
    size_t n = 0, works = 0, chosen = 0, unwritten = 0;
    CU_ASSERT(unsetenv("JM_CPU_ISA") == 0);
    for (; jm_cpu_kernel_set(n, &s); n++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(s.name);
        CU_ASSERT((k != NULL) == s.works);
        CU_ASSERT(s.written ? s.n == 15 : s.n == 0 && !s.works);
        CU_ASSERT(!s.works || s.lacks[0] == '\0');
        CU_ASSERT(!s.chosen || k == jm_cpu_kernels_for(NULL));
        works += s.works;
        chosen += s.chosen;
        unwritten += !s.written;
        if (k)
            check_set(&s, k);
    }
    CU_ASSERT(n >= 10 && works >= 1 && chosen == 1); /* scalar at least */
    CU_ASSERT(unwritten == 3);                       /* AMX, SVE, SME */
}

/* JM_CPU_ISA decides which one is said to be chosen; one that cannot run leaves none. */
static void test_forced(void)
{
    static const struct {
        const char *name;
        size_t chosen;
    } cases[] = { { "scalar", 1 }, { "amx", 0 }, { "sse9", 0 }, { "", 1 } };
    struct jm_kernel_set s;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        size_t chosen = 0;
        CU_ASSERT(setenv("JM_CPU_ISA", cases[c].name, 1) == 0);
        for (size_t i = 0; jm_cpu_kernel_set(i, &s); i++) {
            chosen += s.chosen;
            CU_ASSERT(!s.chosen || !cases[c].name[0] || strcmp(s.name, cases[c].name) == 0);
        }
        CU_ASSERT_EQUAL(chosen, cases[c].chosen);
    }
    CU_ASSERT(unsetenv("JM_CPU_ISA") == 0);
}

static void test_unknown_set(void)
{
    CU_ASSERT_PTR_NULL(jm_cpu_kernels_for("sse9"));
    CU_ASSERT_PTR_EQUAL(jm_cpu_kernels_for("scalar"), &jm_cpu_scalar);
    CU_ASSERT_PTR_NOT_NULL(jm_cpu_kernels_for(NULL));
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return jm_bench_kernels(argc, argv);
    if (getenv("JM_SEED"))
        seed = strtoull(getenv("JM_SEED"), NULL, 0);
    printf("seed %llu (JM_SEED)\n", (unsigned long long)seed);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("kernels", NULL, NULL);
    CU_add_test(s, "linear", test_linear);
    CU_add_test(s, "long linear", test_long_linear);
    CU_add_test(s, "size of STQ1_0", test_stq_size);
    CU_add_test(s, "not finite", test_not_finite);
    CU_add_test(s, "attend", test_attend);
    CU_add_test(s, "attend8", test_attend8);
    CU_add_test(s, "halves", test_halves);
    CU_add_test(s, "add", test_add);
    CU_add_test(s, "rms_norm", test_rms_norm);
    CU_add_test(s, "rope", test_rope);
    CU_add_test(s, "argmax", test_argmax);
    CU_add_test(s, "swiglu", test_swiglu);
    CU_add_test(s, "quantise", test_quantise);
    CU_add_test(s, "quantise64", test_quantise64);
    CU_add_test(s, "quantise16", test_quantise16);
    CU_add_test(s, "rounded at once", test_round);
    CU_add_test(s, "sets", test_sets);
    CU_add_test(s, "forced set", test_forced);
    CU_add_test(s, "unknown set", test_unknown_set);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
