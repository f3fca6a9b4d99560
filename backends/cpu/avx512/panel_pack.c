/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of a piece (panel.h) in the order of their use: weights, and activations. */
#include "backends/cpu/avx512/panel.h"

enum { G = JM_PANEL_GROUPS, ROWS = JM_TILE_MAX, SIX = 4 * JM_TILE_MAX, WORDS = 8 };

/* ---- weights ---- */

/* Bytes of a group's levels of 32 inputs. */
static size_t block_bytes(const struct jm_packed *w)
{
    return w->scales / (w->t.cols / BLOCK);
}

INLINE void unpack_runs(const uint8_t *p, uint8_t *to, uint32_t blocks, const int V, const int S,
                        const enum jm_pack_kind kind)
{
    for (uint32_t b = 0; b < blocks; b++, p += 64 * (size_t)V, to += 512) {
        UNROLL(4)
        for (int i = 0; i < V; i++) {
            const __m512i v = _mm512_loadu_si512(p + 64 * i);
            UNROLL(4)
            for (int s = 0; s < S; s++)
                _mm512_storeu_si512(to + 64 * (i + V * s), run_of(v, s, kind));
        }
    }
}

static void place_levels(const struct jm_packed *w, uint32_t g, struct jm_slice s,
                         struct jm_panel *out)
{
    const uint8_t *p = w->data + g * w->group_bytes + s.from / BLOCK * block_bytes(w);
    out->levels = p;
    out->ld = w->group_bytes;
    if (out->in_place)
        return;
    out->levels = out->own;
    out->ld = (size_t)s.cols * LANES;
    for (uint32_t j = 0; j < G; j++, p += w->group_bytes) {
        if (w->kind == JM_PACK_Q2)
            unpack_runs(p, out->own + j * out->ld, s.cols / BLOCK, 2, 4, JM_PACK_Q2);
        else
            unpack_runs(p, out->own + j * out->ld, s.cols / BLOCK, 4, 2, JM_PACK_Q4);
    }
}

void jm_avx512_unpack_plain(const struct jm_packed *w, uint32_t g, struct jm_slice s,
                            struct jm_panel *out)
{
    const int wide = w->kind == JM_PACK_I16;
    const size_t each = wide ? LANES : 2 * LANES;
    place_levels(w, g, s, out);
    for (uint32_t j = 0; j < G; j++) {
        const uint8_t *d = w->data + (g + j) * w->group_bytes + w->scales + s.from / BLOCK * each;
        float *scale = out->scales + j * LANES;
        for (uint32_t b = 0; b < s.cols / BLOCK; b++, d += each, scale += G * LANES)
            _mm512_storeu_ps(scale, wide ? exponents_to_ps(d) : halves_to_ps(d));
    }
}

void jm_avx512_unpack_q4k(const struct jm_packed *w, uint32_t g, struct jm_slice s,
                          struct jm_panel *out)
{
    place_levels(w, g, s, out);
    for (uint32_t j = 0; j < G; j++) {
        const uint8_t *of =
            w->data + (g + j) * w->group_bytes + w->scales + s.from / 256 * (20 * LANES);
        float *scale = out->scales + j * LANES;
        for (uint32_t b = 0; b < s.cols / BLOCK; b++, scale += 2 * G * LANES) {
            _mm512_storeu_ps(
                scale, _mm512_mul_ps(halves_to_ps(of), bytes_to_ps(of + (4 + b % 8) * LANES)));
            _mm512_storeu_ps(scale + G * LANES,
                             _mm512_mul_ps(halves_to_ps(of + 2 * LANES),
                                           bytes_to_ps(of + (12 + b % 8) * LANES)));
            of += b % 8 == 7 ? 20 * LANES : 0;
        }
    }
}

void jm_avx512_unpack_q6k(const struct jm_packed *w, uint32_t g, struct jm_slice s,
                          struct jm_panel *out)
{
    uint8_t *to = out->own;
    out->levels = to;
    out->ld = (size_t)s.cols * LANES;
    for (uint32_t j = 0; j < G; j++) {
        const uint8_t *p = w->data + (g + j) * w->group_bytes,
                      *of = p + w->scales + s.from / 256 * (18 * LANES);
        float *scale = out->scales + j * LANES;
        p += s.from / BLOCK * block_bytes(w);
        for (uint32_t b = 0; b < s.cols / BLOCK; b++, p += 384, to += 512) {
            UNROLL(8)
            for (int i = 0; i < 8; i++)
                _mm512_storeu_si512(to + 64 * i, six_bits(p, i));
            for (uint32_t half = 0; half < 2; half++, scale += G * LANES)
                _mm512_storeu_ps(scale,
                                 _mm512_mul_ps(halves_to_ps(of),
                                               sbytes_to_ps(of + (2 + b % 8 * 2 + half) * LANES)));
            of += b % 8 == 7 ? 18 * LANES : 0;
        }
    }
}

/* ---- activations ---- */

/* Where the words of [8][6] come from: of rows 0 to 3, or, where a mask has bits, of 4 and 5. */
struct order {
    __m512i four[3], two[3];
    __mmask16 from_two[3];
};

static void make_order(struct order *o)
{
    int32_t four[3 * LANES] = { 0 }, two[3 * LANES] = { 0 };
    for (int v = 0; v < 3; v++)
        o->from_two[v] = 0;
    for (int t = 0; t < WORDS * ROWS; t++) {
        const int r = t % ROWS, word = t / ROWS;
        if (r < 4)
            four[t] = r * WORDS + word;
        else
            two[t] = (r - 4) * WORDS + word;
        if (r >= 4)
            o->from_two[t / LANES] |= (__mmask16)(1u << t % LANES);
    }
    for (int v = 0; v < 3; v++) {
        o->four[v] = _mm512_loadu_si512(four + v * LANES);
        o->two[v] = _mm512_loadu_si512(two + v * LANES);
    }
}

INLINE __m512i two_rows(const uint8_t *a, const uint8_t *b)
{
    const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)a),
                  high = _mm256_loadu_si256((const __m256i *)(const void *)b);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* Eight words of each of six rows. */
INLINE void interleave(uint8_t *out, const uint8_t *const row[ROWS], size_t at,
                       const struct order *o)
{
    const __m512i v01 = two_rows(row[0] + at, row[1] + at),
                  v23 = two_rows(row[2] + at, row[3] + at),
                  v45 = two_rows(row[4] + at, row[5] + at);
    UNROLL(3)
    for (int v = 0; v < 3; v++) {
        const __m512i of_four = _mm512_permutex2var_epi32(v01, o->four[v], v23);
        _mm512_storeu_si512(out + 64 * v,
                            _mm512_mask_permutexvar_epi32(of_four, o->from_two[v], o->two[v], v45));
    }
}

INLINE void put(uint8_t *out, int r, const void *word)
{
    __builtin_memcpy(out + 4 * r, word, 4);
}

/* Levels are unsigned: sum_k (w + offset) q - offset * sum_k q. Q8 128, Q6K 32, Q4 8, Q2 and STQ 1.
 */
static int32_t offset_of(enum jm_pack_kind kind)
{
    return kind == JM_PACK_Q8 ? 128 : kind == JM_PACK_Q6K ? 32 : kind == JM_PACK_Q4 ? 8 : 1;
}

/* What follows the levels of a block but their scales; returns where it ends. at: the block in x.
 */
INLINE uint8_t *put_starts(uint8_t *out, int r, const struct jm_acts *x, size_t at,
                           enum jm_pack_kind kind)
{
    const int32_t offset = offset_of(kind), zero = kind == JM_PACK_STQ ? 0 : SUM_ZERO;
    if (kind == JM_PACK_I16)
        return out;
    if (kind == JM_PACK_Q4K) {
        put(out, r, x->dsum + at);
    } else if (kind == JM_PACK_Q6K) {
        const int32_t start[2] = { zero - offset * x->sum16[2 * at],
                                   zero - offset * x->sum16[2 * at + 1] };
        put(out, r, &start[0]);
        put(out + SIX, r, &start[1]);
        return out + 2 * SIX;
    } else {
        const int32_t start = zero - offset * x->sum[at];
        put(out, r, &start);
    }
    return out + SIX;
}

INLINE void lay(uint8_t *out, const struct jm_acts *x, uint32_t row, uint32_t rows,
                struct jm_slice s, const enum jm_pack_kind kind)
{
    const size_t blocks = x->cols / BLOCK, each = kind == JM_PACK_I16 ? 2 : 1;
    const uint8_t *base = kind == JM_PACK_I16 ? (const uint8_t *)x->q16 : (const uint8_t *)x->q;
    const float *d = kind == JM_PACK_I16 ? x->d16 : x->d;
    const uint8_t *from[ROWS];
    size_t first[ROWS]; /* block of x */
    struct order order;
    make_order(&order);
    for (uint32_t r = 0; r < ROWS; r++) {
        const size_t have = row + (r < rows ? r : rows - 1);
        from[r] = base + (have * x->cols + s.from) * each;
        first[r] = have * blocks + s.from / BLOCK;
    }
    for (uint32_t b = 0; b < s.cols / BLOCK; b++) {
        for (size_t run = 0; run < each; run++, out += JM_RUN_BYTES)
            interleave(out, from, (b * each + run) * BLOCK, &order);
        uint8_t *scales = out;
        for (int r = 0; r < ROWS; r++) {
            scales = put_starts(out, r, x, first[r] + b, kind);
            put(scales, r, d + first[r] + b);
        }
        out = scales + SIX;
    }
}

void jm_avx512_lay_tile(uint8_t *out, const struct jm_acts *x, uint32_t row, uint32_t rows,
                        struct jm_slice s, enum jm_pack_kind kind)
{
    if (kind == JM_PACK_I16) /* a constant, so that its loops unroll */
        lay(out, x, row, rows, s, JM_PACK_I16);
    else
        lay(out, x, row, rows, s, kind);
}
