/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels do at the edges, for every set that this machine can run: the largest levels that a
 * file may hold, scales of any size, values that are not finite, rows at any address, and rows that
 * end where memory does. The policy is in backends/cpu/kernels.h. JM_SEED sets the seed. */
#include <CUnit/Basic.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kernel_data.h"

enum { COLS = 256, BLOCK = 32, ROWS = 11, OUTS = 35 };

static const char *const sets[] = { "avx2", "avx-vnni",     "avx512",   "avx512-vbmi",
                                    "neon", "neon-dotprod", "neon-i8mm" };
enum { N_SETS = sizeof sets / sizeof sets[0] };
static uint64_t seed = 20240917;

/* Memory that ends where a page that nobody may read begins. */
struct guarded {
    uint8_t *map;
    size_t map_bytes;
    void *p; /* the last bytes before it */
};

static struct guarded guarded_copy(const void *from, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    struct guarded g = { .map_bytes = whole + page };
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(g.map != MAP_FAILED);
    CU_ASSERT_FATAL(mprotect(g.map + whole, page, PROT_NONE) == 0);
    g.p = g.map + whole - bytes;
    memcpy(g.p, from, bytes);
    return g;
}

static void guarded_free(struct guarded *g)
{
    munmap(g->map, g->map_bytes);
}

/* ---- linears ---- */

/* Formats with scales of F16: where those lie in a block, and the largest |weight| when they are 1
 * (of Q4_K and Q6_K with the largest small scales). */
static const struct coded {
    jm_format f;
    int scale[2]; /* -1: no second one */
    double largest;
} coded[] = {
    { .f = JM_Q8_0, .scale = { 0, -1 }, .largest = 128 },
    { .f = JM_Q4_0, .scale = { 0, -1 }, .largest = 8 },
    { .f = JM_Q4_K, .scale = { 0, 2 }, .largest = 15 * 63 + 63 },
    { .f = JM_Q6_K, .scale = { 208, -1 }, .largest = 32 * 128 },
    { .f = JM_STQ1_0, .scale = { 40, -1 }, .largest = 1 },
};
enum { N_CODED = sizeof coded / sizeof coded[0] };

/* A weight of any bytes, or of one byte over and over, with its scales as given. */
static uint8_t *bytes_weight(jm_rng *r, const struct coded *c, int byte, uint16_t scale)
{
    const struct jm_format_info *fi = jm_format_info(c->f);
    size_t bytes = OUTS * jm_format_row_bytes(c->f, COLS);
    uint8_t *w = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        w[i] = (uint8_t)(byte < 0 ? (int)jm_rng_below(r, 256) : byte);
    for (size_t at = 0; at < bytes; at += fi->block_bytes)
        for (int k = 0; k < 2 && c->scale[k] >= 0; k++)
            memcpy(w + at + c->scale[k], &scale, 2);
    return w;
}

/* Rows of 127 and -127, which make the largest sums. */
static struct jm_random_acts largest_acts(jm_rng *r, float d)
{
    struct jm_random_acts a = jm_random_acts(r, ROWS, COLS, 1, 8, BLOCK);
    for (int i = 0; i < ROWS * COLS; i++) {
        int row = i / COLS;
        bool minus = row == 1 || (row == 2 && i % 2) || (row > 2 && jm_rng_below(r, 2));
        if (i % BLOCK == 0) {
            a.d[i / BLOCK] = d;
            a.sum[i / BLOCK] = 0;
        }
        a.q[i] = minus ? -127 : 127;
        a.sum[i / BLOCK] += a.q[i];
        a.f[i] = (float)a.q[i] * d;
    }
    jm_cpu_sums(a.q, a.d, a.sum, ROWS * COLS, a.dsum, a.sum16);
    return a;
}

static void check_bytes(const struct jm_cpu_kernels *k, const struct coded *c, int byte,
                        uint16_t scale, float dx)
{
    jm_rng r = { .state = seed + (uint64_t)(byte + 1) };
    uint8_t *data = bytes_weight(&r, c, byte, scale);
    struct jm_tensor t = { .name = "w", .format = c->f, .rows = OUTS, .cols = COLS, .data = data };
    struct jm_random_acts a = largest_acts(&r, dx);
    struct jm_acts x = jm_random_acts_from(&a, 0);
    struct jm_packed plain, packed;
    float want[ROWS * OUTS], got[ROWS * OUTS];
    float *scratch = malloc(jm_linear_scratch(COLS) * sizeof *scratch);
    CU_ASSERT_FATAL(jm_pack(&t, jm_cpu_scalar.pack, &plain, NULL) == JM_OK);
    CU_ASSERT_FATAL(jm_pack(&t, k->pack, &packed, NULL) == JM_OK);
    jm_cpu_scalar.linear(&plain, &x, ROWS, want, OUTS, 0, plain.n_groups, scratch);
    k->linear(&packed, &x, ROWS, got, OUTS, 0, packed.n_groups, scratch);
    /* A block's sum is exact; its scales take four roundings, adding it up two. */
    double size = COLS * 127.0 * (double)dx * (double)jm_f16_to_f32(scale) * c->largest,
           bound = (6.0 * COLS / BLOCK) * (FLT_EPSILON / 2) * size;
    unsigned bad = 0;
    for (int i = 0; i < ROWS * OUTS; i++)
        bad += !(fabs((double)got[i] - want[i]) <= bound);
    if (bad)
        printf("\n  %s %s: bytes %d, scales %g and %g: %u wrong", k->isa,
               jm_format_info(c->f)->name, byte, (double)jm_f16_to_f32(scale), (double)dx, bad);
    CU_ASSERT(bad == 0);
    jm_packed_free(&packed);
    jm_random_acts_free(&a);
    free(scratch);
    free(data);
}

static void test_bytes(void)
{
    static const int bytes[] = { -1, 0x00, 0xff, 0x80, 0x7f, 0x88, 0x0f, 0xf0 };
    static const uint16_t scales[] = { 0x3c00, 0x7bff, 0x0001 }; /* 1, the largest, 2^-24 */
    static const float dx[] = { 1.0f, 0x1p80f, 0x1p-90f };
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t c = 0; k && c < N_CODED; c++)
            for (size_t b = 0; b < sizeof bytes / sizeof bytes[0]; b++)
                for (size_t i = 0; i < 9; i++)
                    check_bytes(k, &coded[c], bytes[b], scales[i % 3], dx[i / 3]);
    }
}

/* All that a linear may read of a row, from floats. */
static void quantise_all(const struct jm_cpu_kernels *k, const struct jm_packed *p,
                         struct jm_random_acts *a, float *d16)
{
    jm_quantise_fn *quantise = p->kind == JM_PACK_STQ_SUMS ? k->quantise64 : k->quantise;
    for (int r = 0; r < ROWS; r++)
        quantise(a->f + r * COLS, COLS, a->q + r * COLS, a->d + r * COLS / BLOCK,
                 a->sum + r * COLS / BLOCK);
    jm_cpu_sums(a->q, a->d, a->sum, ROWS * COLS, a->dsum, a->sum16);
    for (int r = 0; k->quantise16 && r < ROWS; r++)
        k->quantise16(a->f + r * COLS, COLS, a->q16 + r * COLS, d16 + r * COLS / BLOCK);
}

/* y of every format from activations that go through the set's own quantise. bad: what input 37 of
 * row 1 becomes; 0: nothing. */
static void run_rows(const struct jm_cpu_kernels *k, const struct jm_packed *p, float bad, float *y)
{
    jm_rng r = { .state = seed };
    struct jm_random_acts a = jm_random_acts(&r, ROWS, COLS, 1, 8, BLOCK);
    float d16[ROWS * COLS / BLOCK], *scratch = malloc(jm_linear_scratch(COLS) * sizeof *scratch);
    if (bad < 0 || bad > 0 || isnan(bad))
        a.f[COLS + 37] = bad;
    quantise_all(k, p, &a, d16);
    struct jm_acts x = jm_random_acts_from(&a, 0);
    x.d16 = d16;
    k->linear(p, &x, ROWS, y, OUTS, 0, p->n_groups, scratch);
    jm_random_acts_free(&a);
    free(scratch);
}

static const jm_format all_formats[] = { JM_F32,  JM_F16,  JM_BF16, JM_Q8_0,  JM_Q4_0,
                                         JM_Q4_K, JM_Q6_K, JM_Q5_0, JM_STQ1_0 };
enum { N_FORMATS = sizeof all_formats / sizeof all_formats[0] };

/* An input that is not finite makes its whole row so, and changes no other row. */
static void test_bad_input(void)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    float good[ROWS * OUTS], y[ROWS * OUTS];
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t f = 0; k && f < N_FORMATS; f++) {
            jm_rng r = { .state = seed + f };
            struct jm_tensor t = {
                .name = "w", .format = all_formats[f], .rows = OUTS, .cols = COLS
            };
            void *data = jm_random_weight(&r, t.format, OUTS, COLS, 1);
            struct jm_packed p;
            t.data = data;
            CU_ASSERT_FATAL(jm_pack(&t, k->pack, &p, NULL) == JM_OK);
            run_rows(k, &p, 0, good);
            for (size_t b = 0; b < 3; b++) {
                run_rows(k, &p, bad[b], y);
                for (int i = 0; i < ROWS * OUTS; i++)
                    CU_ASSERT(isfinite(good[i]) && isfinite(y[i]) == (i / OUTS != 1));
                CU_ASSERT(memcmp(y, good, OUTS * sizeof *y) == 0);
                CU_ASSERT(memcmp(y + 2 * OUTS, good + 2 * OUTS, 3 * OUTS * sizeof *y) == 0);
            }
            jm_packed_free(&p);
            free(data);
        }
    }
}

/* A scale that is not finite, in output 3: its column is not, all others are unchanged. */
static void test_bad_scale(void)
{
    static const uint16_t bad[] = { 0x7e00, 0x7c00, 0xfc00 };
    float good[ROWS * OUTS], y[ROWS * OUTS];
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t c = 0; k && c < N_CODED * 3; c++) {
            jm_rng r = { .state = seed + c };
            const struct coded *f = &coded[c / 3];
            uint8_t *data = bytes_weight(&r, f, -1, 0x2c00);
            struct jm_tensor t = {
                .name = "w", .format = f->f, .rows = OUTS, .cols = COLS, .data = data
            };
            struct jm_packed p;
            CU_ASSERT_FATAL(jm_pack(&t, k->pack, &p, NULL) == JM_OK);
            run_rows(k, &p, 0, good);
            jm_packed_free(&p);
            memcpy(data + 3 * jm_format_row_bytes(f->f, COLS) + f->scale[0], &bad[c % 3], 2);
            CU_ASSERT_FATAL(jm_pack(&t, k->pack, &p, NULL) == JM_OK);
            run_rows(k, &p, 0, y);
            for (int i = 0; i < ROWS * OUTS; i++) {
                bool same = memcmp(&y[i], &good[i], sizeof y[i]) == 0;
                CU_ASSERT(i % OUTS == 3 ? !isfinite(y[i]) : same);
            }
            jm_packed_free(&p);
            free(data);
        }
    }
}

/* The same bits from any address, and nothing is read behind the last row. */
static void check_addresses(const struct jm_cpu_kernels *k, const struct jm_packed *p,
                            const struct jm_random_acts *a, uint32_t rows)
{
    const size_t cells = rows * COLS, blocks = cells / BLOCK, bytes = rows * OUTS * sizeof(float);
    float y[ROWS * OUTS], moved[ROWS * OUTS + 1],
        *scratch = malloc(jm_linear_scratch(COLS) * sizeof *scratch);
    struct jm_acts x = jm_random_acts_from(a, 0), m = x;
    struct guarded g[7] = { guarded_copy(a->f, cells * 4),     guarded_copy(a->q, cells),
                            guarded_copy(a->d, blocks * 4),    guarded_copy(a->sum, blocks * 4),
                            guarded_copy(a->dsum, blocks * 4), guarded_copy(a->sum16, blocks * 8),
                            guarded_copy(a->q16, cells * 2) };
    k->linear(p, &x, rows, y, OUTS, 0, p->n_groups, scratch);
    m = (struct jm_acts){ .f = g[0].p,
                          .q = g[1].p,
                          .d = g[2].p,
                          .sum = g[3].p,
                          .dsum = g[4].p,
                          .sum16 = g[5].p,
                          .q16 = g[6].p,
                          .d16 = g[2].p,
                          .cols = COLS };
    k->linear(p, &m, rows, moved + 1, OUTS, 0, p->n_groups, scratch);
    CU_ASSERT(memcmp(y, moved + 1, bytes) == 0);
    for (int i = 0; i < 7; i++)
        guarded_free(&g[i]);
    int8_t *odd = malloc(cells + 1);
    memcpy(odd + 1, a->q, cells);
    m = x;
    m.q = odd + 1;
    k->linear(p, &m, rows, moved + 1, OUTS, 0, p->n_groups, scratch);
    CU_ASSERT(memcmp(y, moved + 1, bytes) == 0);
    free(odd);
    free(scratch);
}

static void test_addresses(void)
{
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t f = 0; k && f < N_FORMATS; f++) {
            jm_rng r = { .state = seed + f };
            struct jm_tensor t = {
                .name = "w", .format = all_formats[f], .rows = OUTS, .cols = COLS
            };
            void *data = jm_random_weight(&r, t.format, OUTS, COLS, 1);
            struct jm_packed p;
            t.data = data;
            CU_ASSERT_FATAL(jm_pack(&t, k->pack, &p, NULL) == JM_OK);
            struct jm_random_acts a = jm_random_acts(&r, ROWS, COLS, 1, 8, jm_rounded_together(&p));
            check_addresses(k, &p, &a, 1);
            check_addresses(k, &p, &a, 2);
            check_addresses(k, &p, &a, ROWS);
            jm_random_acts_free(&a);
            jm_packed_free(&p);
            free(data);
        }
    }
}

/* ---- the others ---- */

static const float special[] = { NAN,     INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0.0f,   -0.0f,
                                 FLT_MIN, -FLT_MIN, 1e-42f,    -1e-42f, 88.0f,    -88.0f, 104.0f,
                                 -104.0f, 1e10f,    -1e10f,    1.0f,    -1.0f };
enum { N_SPECIAL = sizeof special / sizeof special[0] };

/* Both NaN, the same infinity, or both finite. */
static bool alike(float a, float b)
{
    return isnan(a) ? isnan(b) : isinf(a) ? isinf(b) && signbit(a) == signbit(b) : isfinite(b);
}

/* Every pair of special values, 19 at a time so that there is a tail. */
static void test_swiglu(void)
{
    float up[N_SPECIAL], want[N_SPECIAL], got[N_SPECIAL];
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t i = 0; k && i < N_SPECIAL; i++) {
            for (size_t j = 0; j < N_SPECIAL; j++)
                up[j] = special[(i + j) % N_SPECIAL];
            jm_cpu_scalar.swiglu(special, up, want, N_SPECIAL);
            k->swiglu(special, up, got, N_SPECIAL);
            for (size_t j = 0; j < N_SPECIAL; j++) {
                bool zero_by_up = special[j] < -88 && isinf(up[j]);
                CU_ASSERT(zero_by_up ? !isfinite(got[j]) : alike(want[j], got[j]));
            }
        }
    }
}

static void test_gelu(void)
{
    float x[77], want[77], got[77];
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t n = 0; k && n <= 77; n++) {
            jm_rng r = { .state = seed + n };
            for (size_t i = 0; i < n; i++)
                x[i] = i < N_SPECIAL && n % 2 ? special[i] : jm_random_float(&r, 6);
            jm_cpu_scalar.gelu(x, want, n);
            k->gelu(x, got, n);
            for (size_t i = 0; i < n; i++) {
                CU_ASSERT(alike(want[i], got[i]));
                /* half an erfc to 1.5e-7, times x, and a few roundings */
                if (isfinite(want[i]))
                    CU_ASSERT(fabs((double)got[i] - want[i]) <=
                              fabs((double)x[i]) * 1e-7 +
                                  8 * (double)FLT_EPSILON * fabs((double)want[i]));
            }
        }
    }
}

/* NaN anywhere makes the row NaN; squares up to 1e36 add up. The end of the row is that of memory.
 */
static void test_rms_norm(void)
{
    static const float scales[] = { 1e-18f, 1e-10f, 1.0f, 1e10f, 1e17f };
    float x[77], w[77], want[77], got[77];
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (uint32_t n = 1; k && n <= 77; n++) {
            jm_rng r = { .state = seed + n };
            for (uint32_t i = 0; i < n; i++) {
                x[i] = jm_random_float(&r, scales[n % 5]);
                w[i] = jm_random_float(&r, 2);
            }
            struct guarded gx = guarded_copy(x, n * sizeof *x), gw = guarded_copy(w, n * sizeof *w);
            jm_cpu_scalar.rms_norm(x, w, 1e-6f, want, n);
            k->rms_norm(gx.p, gw.p, 1e-6f, got, n);
            for (uint32_t i = 0; i < n; i++)
                CU_ASSERT(fabs((double)got[i] - want[i]) <=
                          (n + 4.0) * FLT_EPSILON * fabs((double)want[i]) + FLT_MIN);
            ((float *)gx.p)[n / 2] = NAN;
            k->rms_norm(gx.p, gw.p, 1e-6f, got, n);
            for (uint32_t i = 0; i < n; i++)
                CU_ASSERT(isnan(got[i]));
            guarded_free(&gx);
            guarded_free(&gw);
        }
    }
}

/* NaN stays in its pair; in place; at the end of memory. */
static void test_rope(void)
{
    float x[78], turn[78], want[78];
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (uint32_t dim = 2; k && dim <= 78; dim += 2) {
            jm_rng r = { .state = seed + dim };
            for (uint32_t i = 0; i < dim; i++) {
                x[i] = jm_random_float(&r, 1e30f);
                turn[i] = jm_random_float(&r, 1);
            }
            x[dim / 4] = dim % 4 ? NAN : INFINITY;
            struct guarded gx = guarded_copy(x, dim * sizeof *x),
                           gt = guarded_copy(turn, dim * sizeof *turn);
            const float *got = gx.p;
            jm_cpu_scalar.rope(x, turn, dim, want);
            k->rope(gx.p, gt.p, dim, gx.p);
            for (uint32_t i = 0; i < dim; i++) {
                bool pair = i % (dim / 2) == dim / 4;
                CU_ASSERT(isfinite(got[i]) == !pair && alike(want[i], got[i]));
                if (!pair)
                    CU_ASSERT(fabs((double)got[i] - want[i]) <= 4e30 * (double)FLT_EPSILON);
            }
            guarded_free(&gx);
            guarded_free(&gt);
        }
    }
}

/* NaN loses to everything, minus infinity to every number; the first of equals. */
static void test_argmax(void)
{
    float x[70];
    for (size_t s = 0; s <= N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(s < N_SETS ? sets[s] : "scalar");
        for (uint32_t n = 1; k && n <= 70; n++) {
            for (uint32_t i = 0; i < n; i++)
                x[i] = i % 3 ? -INFINITY : NAN;
            struct guarded g = guarded_copy(x, n * sizeof *x);
            CU_ASSERT_EQUAL(k->argmax(g.p, n), n > 1);
            ((float *)g.p)[n - 1] = -FLT_MAX;
            CU_ASSERT_EQUAL(k->argmax(g.p, n), (int32_t)n - 1);
            ((float *)g.p)[n / 2] = INFINITY;
            CU_ASSERT_EQUAL(k->argmax(g.p, n), (int32_t)(n / 2));
            guarded_free(&g);
        }
    }
}

/* Bit for bit, at the ends of the range and of memory. */
static void test_quantise(void)
{
    static const float tops[] = { FLT_MAX, 1e38f, 1e-30f, 2e-30f, FLT_MIN, 1e-42f, 0.0f };
    float x[64], want_d[2], got_d[2];
    int8_t want[64], got[65];
    int32_t want_sum[2], got_sum[2];
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        for (size_t t = 0; k && t < sizeof tops / sizeof tops[0]; t++) {
            jm_rng r = { .state = seed + t };
            for (int i = 0; i < 64; i++)
                x[i] = i % 5 ? jm_random_float(&r, tops[t]) : tops[t];
            struct guarded g = guarded_copy(x, sizeof x);
            jm_cpu_scalar.quantise(x, 64, want, want_d, want_sum);
            k->quantise(g.p, 64, got + 1, got_d, got_sum);
            CU_ASSERT(memcmp(want, got + 1, 64) == 0);
            CU_ASSERT(memcmp(want_d, got_d, sizeof want_d) == 0);
            CU_ASSERT(memcmp(want_sum, got_sum, sizeof want_sum) == 0);
            guarded_free(&g);
        }
    }
}

/* NaN in a query makes its head NaN, and no other head; NaN in a value makes its column so. Of few
 * heads, and of as many as kernels may take at once, over more than one block of positions. */
static void attend_nan(const struct jm_cpu_kernels *k, int heads)
{
    enum { DIM = 40, N = 144, MOST = 13 };
    static float q[MOST * DIM], key[N * DIM], v[N * DIM], scores[JM_ATTEND_HEADS * N],
        y[MOST * DIM];
    static float y16[MOST * DIM];
    static uint16_t key16[N * DIM], v16[N * DIM];
    jm_rng r = { .state = seed };
    for (int i = 0; i < N * DIM; i++) { /* keys in any order: all are random */
        key[i] = jm_random_float(&r, 1);
        v[i] = jm_random_float(&r, 1);
        q[i % (MOST * DIM)] = key[i];
    }
    v[5 * DIM + 17] = NAN;
    k->to_half(key, key16, N * DIM);
    k->to_half(v, v16, N * DIM);
    k->attend(q, (uint32_t)heads, key, v, DIM, N, 1, scores, y);
    k->attend16(q, (uint32_t)heads, key16, v16, DIM, N, 1, scores, y16);
    for (int i = 0; i < heads * DIM; i++)
        CU_ASSERT(isnan(y[i]) == (i % DIM == 17) && isnan(y16[i]) == isnan(y[i]));
    v[5 * DIM + 17] = 0;
    v16[5 * DIM + 17] = 0;
    q[DIM + 3] = NAN;
    k->attend(q, (uint32_t)heads, key, v, DIM, N, 1, scores, y);
    k->attend16(q, (uint32_t)heads, key16, v16, DIM, N, 1, scores, y16);
    for (int i = 0; i < heads * DIM; i++)
        CU_ASSERT(isnan(y[i]) == (i / DIM == 1) && isnan(y16[i]) == isnan(y[i]));
}

static void test_attend(void)
{
    for (size_t s = 0; s < N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s]);
        if (!k)
            continue;
        attend_nan(k, 3);
        attend_nan(k, 13);
    }
}

/* The same with Q8_0, where a scale stands for 32 levels. */
static void test_attend8(void)
{
    enum { DIM = 96, N = 21, HEADS = 5 };
    static struct jm_random_kv8 rows, blocked;
    static float q[HEADS * DIM], scores[JM_ATTEND_HEADS * 32], y[HEADS * DIM];
    const struct jm_kv8 kv = jm_kv8_of(&blocked);
    const uint16_t bad[] = { 0x7e00, 0x7c00 }; /* NaN, infinity */
    for (size_t s = 0; s < 2 * N_SETS; s++) {
        const struct jm_cpu_kernels *k = jm_cpu_kernels_for(sets[s / 2]);
        jm_rng r = { .state = seed };
        jm_random_kv8(&r, N, DIM, &rows);
        for (int i = 0; i < HEADS * DIM; i++)
            q[i] = jm_random_float(&r, 1);
        if (!k)
            continue;
        struct jm_random_kv8 was = rows;
        rows.dv[5 * DIM / BLOCK + 1] = bad[s % 2];
        jm_block_kv8(&rows, N, DIM, k->k_block, &blocked);
        k->attend8(q, HEADS, &kv, DIM, N, 1, scores, y);
        for (int i = 0; i < HEADS * DIM; i++)
            CU_ASSERT(isfinite(y[i]) == (i % DIM / BLOCK != 1));
        rows = was;
        rows.dk[17 * DIM / BLOCK + 2] = 0x7e00; /* an infinite score of one sign is only a zero */
        jm_block_kv8(&rows, N, DIM, k->k_block, &blocked);
        k->attend8(q, HEADS, &kv, DIM, N, 1, scores, y);
        for (int i = 0; i < HEADS * DIM; i++)
            CU_ASSERT(isnan(y[i]));
        jm_block_kv8(&was, N, DIM, k->k_block, &blocked);
        q[DIM + 3] = s % 2 ? -INFINITY : NAN;
        k->attend8(q, HEADS, &kv, DIM, N, 1, scores, y);
        for (int i = 0; i < HEADS * DIM; i++)
            CU_ASSERT(isfinite(y[i]) == (i / DIM != 1));
    }
}

int main(void)
{
    if (getenv("JM_SEED"))
        seed = strtoull(getenv("JM_SEED"), NULL, 0);
    printf("seed %llu (JM_SEED)\n", (unsigned long long)seed);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("kernels at the edges", NULL, NULL);
    CU_add_test(s, "any bytes, any scales", test_bytes);
    CU_add_test(s, "input that is not finite", test_bad_input);
    CU_add_test(s, "scale that is not finite", test_bad_scale);
    CU_add_test(s, "addresses", test_addresses);
    CU_add_test(s, "swiglu", test_swiglu);
    CU_add_test(s, "gelu", test_gelu);
    CU_add_test(s, "rms_norm", test_rms_norm);
    CU_add_test(s, "rope", test_rope);
    CU_add_test(s, "argmax", test_argmax);
    CU_add_test(s, "quantise", test_quantise);
    CU_add_test(s, "attend", test_attend);
    CU_add_test(s, "attend8", test_attend8);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
