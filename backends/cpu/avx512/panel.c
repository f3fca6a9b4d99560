/* SPDX-License-Identifier: Apache-2.0 */
/* Linears of many rows in formats that take work to unpack, AVX-512 with VNNI. The weights of 32
 * outputs become bytes and F32 scales once for all rows, which then pass four to six at a time.
 * Q8, Q4 and Q2 gain nothing by it: their levels cost no more than a mask.
 *
 * Floats are added in the order of the other kernels: a row gets the same result alone and among
 * others. */
#include "backends/cpu/avx512/panel.h"

#include "backends/cpu/avx512/lanes.h"

enum { G = JM_PANEL_GROUPS, MAX_TILE = 6, MIN_TILE = 4, SUPER = 256 };

/* Two groups of a linear: their panel and results. */
struct piece {
    const struct jm_acts *x;
    struct jm_panel panel;
    struct ahead ahead; /* of the piece that comes next */
    float *y;           /* of row 0 */
    size_t ldy;
    __mmask16 lanes[G];
};

INLINE void store_sums(const struct piece *w, uint32_t row, const __m512 *sum, const int R)
{
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        _mm512_mask_storeu_ps(w->y + (row + (uint32_t)(i / G)) * w->ldy + i % G * LANES,
                              w->lanes[i % G], sum[i]);
}

INLINE void clear(__m512 *sum, const int R)
{
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        sum[i] = _mm512_setzero_ps();
}

/* acc[r * G + j] += 4 N inputs for R rows and both groups, whose levels lie ld bytes apart. */
INLINE void dot(__m512i *acc, const uint8_t *levels, size_t ld, const int8_t *q, size_t ldq,
                const int R, const int N)
{
    UNROLL(8)
    for (int i = 0; i < N; i++) {
        const __m512i w0 = _mm512_loadu_si512(levels + 64 * i),
                      w1 = _mm512_loadu_si512(levels + ld + 64 * i);
        UNROLL(6)
        for (int r = 0; r < R; r++) {
            const __m512i four = word_at(q + (size_t)r * ldq + 4 * i);
            acc[r * G] = _mm512_dpbusd_epi32(acc[r * G], w0, four);
            acc[r * G + 1] = _mm512_dpbusd_epi32(acc[r * G + 1], w1, four);
        }
    }
}

/* What takes out that levels are too large by 1 << shift, of sums of activations that are ldsum
 * apart. The shift is a constant: one by a register takes a multiplier's place. */
INLINE void begin(__m512i *acc, const int32_t *sum, size_t ldsum, const unsigned shift, const int R)
{
    UNROLL(6)
    for (int r = 0; r < R; r++)
        acc[r * G] = acc[r * G + 1] = _mm512_sub_epi32(
            _mm512_setzero_si512(), _mm512_slli_epi32(word_at(sum + (size_t)r * ldsum), shift));
}

/* sum += scale d acc. scale: of both groups; d: of the rows, ldd apart. */
INLINE void add_scaled(__m512 *sum, const __m512i *acc, const float *scale, const float *d,
                       size_t ldd, const int R)
{
    UNROLL(12)
    for (int i = 0; i < R * G; i++)
        sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i]),
                                 _mm512_mul_ps(_mm512_loadu_ps(scale + i % G * LANES),
                                               _mm512_set1_ps(d[(size_t)(i / G) * ldd])),
                                 sum[i]);
}

INLINE void tile_q4k(struct piece *w, uint32_t row, const int R)
{
    const size_t cols = w->x->cols, n = cols / BLOCK;
    const int8_t *q = w->x->q + row * cols;
    const float *dx = w->x->d + row * n, *dsum = w->x->dsum + row * n, *scale = w->panel.scales;
    const uint8_t *levels = w->panel.levels;
    __m512 sum[G * MAX_TILE];
    clear(sum, R);
    for (uint32_t b = 0; b < n; b++, levels += 512, q += BLOCK, scale += 2 * G * LANES) {
        __m512i acc[G * MAX_TILE];
        UNROLL(12)
        for (int i = 0; i < R * G; i++)
            acc[i] = _mm512_setzero_si512();
        ask(&w->ahead);
        dot(acc, levels, cols * LANES, q, cols, R, 8);
        add_scaled(sum, acc, scale, dx + b, n, R);
        UNROLL(12)
        for (int i = 0; i < R * G; i++)
            sum[i] = _mm512_fnmadd_ps(_mm512_loadu_ps(scale + (G + i % G) * LANES),
                                      _mm512_set1_ps(dsum[(size_t)(i / G) * n + b]), sum[i]);
    }
    store_sums(w, row, sum, R);
}

INLINE void tile_q6k(struct piece *w, uint32_t row, const int R)
{
    const size_t cols = w->x->cols, n = cols / BLOCK;
    const int8_t *q = w->x->q + row * cols;
    const float *dx = w->x->d + row * n, *scale = w->panel.scales;
    const int32_t *start = w->x->sum16 + 2 * row * n;
    const uint8_t *levels = w->panel.levels;
    __m512 sum[G * MAX_TILE];
    clear(sum, R);
    for (uint32_t b = 0; b < 2 * n; b++, levels += 256, q += BLOCK / 2, scale += G * LANES) {
        __m512i acc[G * MAX_TILE];
        begin(acc, start + b, 2 * n, 5, R);
        ask(&w->ahead);
        dot(acc, levels, cols * LANES, q, cols, R, 4);
        add_scaled(sum, acc, scale, dx + b / 2, n, R);
    }
    store_sums(w, row, sum, R);
}

/* 256 inputs have one scale: their sum is scaled by the activations alone, and then once. */
INLINE void tile_stq(struct piece *w, uint32_t row, const int R)
{
    const size_t cols = w->x->cols, n = cols / BLOCK;
    const int8_t *q = w->x->q + row * cols;
    const float *dx = w->x->d + row * n, *scale = w->panel.scales;
    const int32_t *start = w->x->sum + row * n;
    const uint8_t *levels = w->panel.levels;
    __m512 sum[G * MAX_TILE];
    clear(sum, R);
    for (uint32_t k = 0; k < cols; k += SUPER, scale += G * LANES) {
        __m512 part[G * MAX_TILE];
        clear(part, R);
        for (int b = 0; b < SUPER / BLOCK; b++, start++, dx++, levels += 512, q += BLOCK) {
            __m512i acc[G * MAX_TILE];
            begin(acc, start, n, 0, R);
            ask(&w->ahead);
            dot(acc, levels, cols * LANES, q, cols, R, 8);
            UNROLL(12)
            for (int i = 0; i < R * G; i++)
                part[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[i]),
                                          _mm512_set1_ps(dx[(size_t)(i / G) * n]), part[i]);
        }
        UNROLL(12)
        for (int i = 0; i < R * G; i++)
            sum[i] = _mm512_fmadd_ps(part[i], _mm512_loadu_ps(scale + i % G * LANES), sum[i]);
    }
    store_sums(w, row, sum, R);
}

typedef void tile_fn(struct piece *w, uint32_t row);

/* NAME_4, NAME_5 and NAME_6, by rows. */
#define TILES(name)                                                                                \
    static void name##_4(struct piece *w, uint32_t row)                                            \
    {                                                                                              \
        name(w, row, 4);                                                                           \
    }                                                                                              \
    static void name##_5(struct piece *w, uint32_t row)                                            \
    {                                                                                              \
        name(w, row, 5);                                                                           \
    }                                                                                              \
    static void name##_6(struct piece *w, uint32_t row)                                            \
    {                                                                                              \
        name(w, row, 6);                                                                           \
    }
TILES(tile_q4k)
TILES(tile_q6k)
TILES(tile_stq)

/* ---- unpacking ---- */

static void unpack_q4k(const struct jm_packed *w, uint32_t g, struct jm_panel *out)
{
    uint8_t *to = out->levels;
    for (uint32_t j = 0; j < G; j++) {
        const uint8_t *p = w->data + (g + j) * w->group_bytes, *s = p + w->scales;
        float *scale = out->scales + j * LANES;
        for (uint32_t b = 0; b < w->t.cols / BLOCK; b++, p += 256, to += 512) {
            UNROLL(4)
            for (int i = 0; i < 4; i++) {
                const __m512i v = _mm512_loadu_si512(p + 64 * i);
                _mm512_storeu_si512(to + 64 * i, run_of(v, 0, JM_PACK_Q4));
                _mm512_storeu_si512(to + 64 * (i + 4), run_of(v, 1, JM_PACK_Q4));
            }
            _mm512_storeu_ps(scale,
                             _mm512_mul_ps(halves_to_ps(s), bytes_to_ps(s + (4 + b % 8) * LANES)));
            _mm512_storeu_ps(
                scale + G * LANES,
                _mm512_mul_ps(halves_to_ps(s + 2 * LANES), bytes_to_ps(s + (12 + b % 8) * LANES)));
            scale += 2 * G * LANES;
            s += b % 8 == 7 ? 20 * LANES : 0;
        }
    }
}

static void unpack_q6k(const struct jm_packed *w, uint32_t g, struct jm_panel *out)
{
    uint8_t *to = out->levels;
    for (uint32_t j = 0; j < G; j++) {
        const uint8_t *p = w->data + (g + j) * w->group_bytes, *s = p + w->scales;
        float *scale = out->scales + j * LANES;
        for (uint32_t b = 0; b < w->t.cols / BLOCK; b++, p += 384, to += 512) {
            UNROLL(8)
            for (int i = 0; i < 8; i++)
                _mm512_storeu_si512(to + 64 * i, six_bits(p, i));
            for (uint32_t half = 0; half < 2; half++, scale += G * LANES)
                _mm512_storeu_ps(scale,
                                 _mm512_mul_ps(halves_to_ps(s),
                                               sbytes_to_ps(s + (2 + b % 8 * 2 + half) * LANES)));
            s += b % 8 == 7 ? 18 * LANES : 0;
        }
    }
}

/* ---- pieces ---- */

struct method {
    jm_unpack_fn *unpack;
    tile_fn *tile[MAX_TILE - MIN_TILE + 1]; /* by rows */
};

static bool method_of(enum jm_pack_kind kind, jm_unpack_fn *unpack_stq, struct method *out)
{
    switch (kind) {
    case JM_PACK_STQ:
        *out = (struct method){ unpack_stq, { tile_stq_4, tile_stq_5, tile_stq_6 } };
        break;
    case JM_PACK_Q4K:
        *out = (struct method){ unpack_q4k, { tile_q4k_4, tile_q4k_5, tile_q4k_6 } };
        break;
    case JM_PACK_Q6K:
        *out = (struct method){ unpack_q6k, { tile_q6k_4, tile_q6k_5, tile_q6k_6 } };
        break;
    default:
        return false;
    }
    return out->unpack != NULL;
}

/* All rows of a piece, in tiles as even as they can be: of 16, not 6, 6 and 4 but 6, 5 and 5. */
static void run_piece(struct piece *p, const struct method *m, uint32_t n_rows, uint32_t tiles)
{
    const uint32_t least = n_rows / tiles, more = n_rows % tiles;
    for (uint32_t t = 0, row = 0; t < tiles; t++) {
        const uint32_t rows = least + (t < more);
        m->tile[rows - MIN_TILE](p, row);
        row += rows;
    }
}

uint32_t jm_avx512_panels(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch,
                          jm_unpack_fn *unpack_stq)
{
    const uint32_t tiles = (n_rows + MAX_TILE - 1) / MAX_TILE;
    const size_t steps = (size_t)tiles * (x->cols / BLOCK);
    struct method m;
    uint32_t g = g0;
    if (n_rows < JM_PANEL_ROWS || !method_of(w->kind, unpack_stq, &m))
        return g0;
    struct piece p = { .x = x, .ldy = ldy };
    p.panel.levels = (uint8_t *)scratch;
    p.panel.scales = scratch + (size_t)x->cols * G * LANES / sizeof *scratch;
    for (; g + G <= g1; g += G) {
        p.y = y + (size_t)g * LANES;
        for (uint32_t j = 0; j < G; j++)
            p.lanes[j] = lanes_of(w->t.rows - (g + j) * LANES);
        const uint8_t *next = w->data + (g + G) * w->group_bytes;
        p.ahead = (struct ahead){ .p = next, .end = next };
        if (g + 2 * G <= g1)
            p.ahead.end += G * w->group_bytes;
        p.ahead.bytes = G * w->group_bytes / steps;
        m.unpack(w, g, &p.panel);
        run_piece(&p, &m, n_rows, tiles);
    }
    return g;
}

/* Of a column: a byte for each output, and of 32 columns two scales at most. */
_Static_assert((LANES + 2 * LANES * sizeof(float) / BLOCK) * G <= JM_LINEAR_SCRATCH * sizeof(float),
               "a panel fits in scratch");
