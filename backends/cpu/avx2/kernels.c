/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 + FMA + F16C kernels over weights interleaved by 8 (pack.h). As in the AVX-512 set, a sum
 * runs over k in the same order whatever the tile. */
#include <immintrin.h>
#include <math.h>

#include "backends/cpu/kernels.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, BLOCK = 32 };

INLINE void store(float *y, __m256 v, uint32_t left)
{
    if (left >= LANES) {
        _mm256_storeu_ps(y, v);
        return;
    }
    float lane[LANES];
    _mm256_storeu_ps(lane, v);
    for (uint32_t i = 0; i < left; i++)
        y[i] = lane[i];
}

INLINE void tile_float(const struct jm_packed *w, const float *x, uint32_t cols, float *y,
                       size_t ldy, uint32_t g, const int R, const int G, const int half)
{
    const size_t each = half ? 2 : 4;
    const uint8_t *p = w->data + g * w->group_bytes;
    __m256 acc[12];
#pragma GCC unroll 12
    for (int i = 0; i < R * G; i++)
        acc[i] = _mm256_setzero_ps();
    for (uint32_t k = 0; k < cols; k++) {
#pragma GCC unroll 8
        for (int j = 0; j < G; j++) {
            const uint8_t *q = p + (size_t)j * w->group_bytes + k * LANES * each;
            __m256 wk = half ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)q))
                             : _mm256_loadu_ps((const float *)(const void *)q);
#pragma GCC unroll 6
            for (int r = 0; r < R; r++)
                acc[r * G + j] =
                    _mm256_fmadd_ps(wk, _mm256_set1_ps(x[(size_t)r * cols + k]), acc[r * G + j]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
        for (int j = 0; j < G; j++) {
            uint32_t o = (g + (uint32_t)j) * LANES;
            store(y + (size_t)r * ldy + o, acc[r * G + j], w->t.rows - o);
        }
    }
}

INLINE void linear_float(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                         float *y, size_t ldy, uint32_t g0, uint32_t g1, const int half)
{
    uint32_t cols = x->cols, g = g0, r;
    for (; g + 2 <= g1; g += 2) {
        if (n_rows < 4 && g + 8 <= g1) {
            for (r = 0; r < n_rows; r++)
                tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 8, half);
            g += 6;
            continue;
        }
        for (r = 0; r + 4 <= n_rows; r += 4)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 4, 2, half);
        for (; r < n_rows; r++)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 2, half);
    }
    for (; g < g1; g++) {
        for (r = 0; r < n_rows; r++)
            tile_float(w, x->f + (size_t)r * cols, cols, y + r * ldy, ldy, g, 1, 1, half);
    }
}

struct block {
    __m256i w[8]; /* [k / 4], each 8 outputs x 4 k; signed for Q8, else with the offset added */
};

INLINE struct block load_block(const uint8_t *p, const enum jm_pack_kind kind)
{
    const __m256i *v = (const __m256i *)(const void *)p;
    struct block b;
    if (kind == JM_PACK_Q8) {
        const __m256i top = _mm256_set1_epi8((char)0x80);
        for (int j = 0; j < 8; j++)
            b.w[j] = _mm256_xor_si256(_mm256_loadu_si256(v + j), top);
    } else if (kind == JM_PACK_Q4) {
        const __m256i low = _mm256_set1_epi8(15);
        for (int j = 0; j < 4; j++) {
            __m256i t = _mm256_loadu_si256(v + j);
            b.w[j] = _mm256_and_si256(t, low);
            b.w[j + 4] = _mm256_and_si256(_mm256_srli_epi16(t, 4), low);
        }
    } else {
        const __m256i low = _mm256_set1_epi8(3);
        for (int j = 0; j < 2; j++) {
            __m256i t = _mm256_loadu_si256(v + j);
            b.w[j] = _mm256_and_si256(t, low);
            b.w[j + 2] = _mm256_and_si256(_mm256_srli_epi16(t, 2), low);
            b.w[j + 4] = _mm256_and_si256(_mm256_srli_epi16(t, 4), low);
            b.w[j + 6] = _mm256_and_si256(_mm256_srli_epi16(t, 6), low);
        }
    }
    return b;
}

/* VPMADDUBSW multiplies u8 by s8 and saturates sums of two at 16 bits. Q4 and Q2 stay far below;
 * Q8 goes in as |w| and q with w's sign, at most 2 * 128 * 127 = 32,512. */
INLINE __m256i dot_block(const struct block *b, const int8_t *q, int32_t sum, const int offset)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i s = _mm256_set1_epi32(-offset * sum);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        int32_t four;
        __builtin_memcpy(&four, q + 4 * j, 4);
        __m256i x = _mm256_set1_epi32(four), w = b->w[j];
        if (offset == 0) {
            x = _mm256_sign_epi8(x, w);
            w = _mm256_abs_epi8(w);
        }
        s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), ones));
    }
    return s;
}

INLINE void tile_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t row,
                           float *y, size_t ldy, uint32_t g, const int R,
                           const enum jm_pack_kind kind)
{
    const int bits = kind == JM_PACK_Q8 ? 8 : kind == JM_PACK_Q4 ? 4 : 2;
    const int offset = kind == JM_PACK_Q8 ? 0 : kind == JM_PACK_Q4 ? 8 : 1;
    const size_t step = (size_t)(LANES * BLOCK * bits / 8);
    const uint32_t n = x->cols / BLOCK;
    const uint8_t *p = w->data + g * w->group_bytes, *scale = p + w->scales;
    __m256 acc[4];
    for (int r = 0; r < R; r++)
        acc[r] = _mm256_setzero_ps();
    for (uint32_t b = 0; b < n; b++, p += step, scale += LANES * 2) {
        const struct block wb = load_block(p, kind);
        const __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)scale));
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            size_t at = (size_t)(row + (uint32_t)r);
            __m256i s = dot_block(&wb, x->q + at * x->cols + b * BLOCK, x->sum[at * n + b], offset);
            __m256 dx = _mm256_mul_ps(d, _mm256_set1_ps(x->d[at * n + b]));
            acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s), dx, acc[r]);
        }
    }
    for (int r = 0; r < R; r++)
        store(y + (size_t)(row + (uint32_t)r) * ldy + (size_t)g * LANES, acc[r],
              w->t.rows - g * LANES);
}

INLINE void linear_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                             float *y, size_t ldy, uint32_t g0, uint32_t g1,
                             const enum jm_pack_kind kind)
{
    for (uint32_t g = g0; g < g1; g++) {
        uint32_t r = 0;
        for (; r + 4 <= n_rows; r += 4)
            tile_quantised(w, x, r, y, ldy, g, 4, kind);
        for (; r < n_rows; r++)
            tile_quantised(w, x, r, y, ldy, g, 1, kind);
    }
}

static void linear(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows, float *y,
                   size_t ldy, uint32_t g0, uint32_t g1, float *scratch)
{
    (void)scratch;
    switch (w->kind) {
    case JM_PACK_F16:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 1);
        break;
    case JM_PACK_Q8:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q8);
        break;
    case JM_PACK_Q4:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q4);
        break;
    case JM_PACK_Q2:
        linear_quantised(w, x, n_rows, y, ldy, g0, g1, JM_PACK_Q2);
        break;
    default:
        linear_float(w, x, n_rows, y, ldy, g0, g1, 0);
        break;
    }
}

static void swiglu(const float *gate, const float *up, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

INLINE float sum_of(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Eight keys or values, or one, from number `at` of a cache of f32 or f16 on. */
INLINE __m256 load_kv(const void *cache, size_t at, const int half)
{
    if (half)
        return _mm256_cvtph_ps(
            _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)cache + at)));
    return _mm256_loadu_ps((const float *)cache + at);
}

INLINE float one_kv(const void *cache, size_t at, const int half)
{
    return half ? _cvtsh_ss(((const uint16_t *)cache)[at]) : ((const float *)cache)[at];
}

INLINE float dot(const float *a, const void *b, size_t at, uint32_t n, const int half)
{
    __m256 s = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        s = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), load_kv(b, at + i, half), s);
    float total = sum_of(s);
    for (; i < n; i++)
        total += a[i] * one_kv(b, at + i, half);
    return total;
}

INLINE void attend_head(const float *q, const void *k, const void *v, uint32_t dim, uint32_t n,
                        float scale, float *scores, float *out, const int half)
{
    float largest = -INFINITY, total = 0.0f;
    for (uint32_t p = 0; p < n; p++) {
        scores[p] = dot(q, k, (size_t)p * dim, dim, half) * scale;
        largest = scores[p] > largest ? scores[p] : largest;
    }
    for (uint32_t p = 0; p < n; p++) {
        scores[p] = expf(scores[p] - largest);
        total += scores[p];
    }
    uint32_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        __m256 s = _mm256_setzero_ps();
        for (uint32_t p = 0; p < n; p++)
            s = _mm256_fmadd_ps(_mm256_set1_ps(scores[p]), load_kv(v, (size_t)p * dim + i, half),
                                s);
        _mm256_storeu_ps(out + i, _mm256_div_ps(s, _mm256_set1_ps(total)));
    }
    for (; i < dim; i++) {
        float s = 0.0f;
        for (uint32_t p = 0; p < n; p++)
            s += scores[p] * one_kv(v, (size_t)p * dim + i, half);
        out[i] = s / total;
    }
}

static void attend(const float *q, uint32_t n_heads, const float *k, const float *v, uint32_t dim,
                   uint32_t n, float scale, float *scores, float *out)
{
    for (uint32_t h = 0; h < n_heads; h++)
        attend_head(q + (size_t)h * dim, k, v, dim, n, scale, scores, out + (size_t)h * dim, 0);
}

static void attend16(const float *q, uint32_t n_heads, const uint16_t *k, const uint16_t *v,
                     uint32_t dim, uint32_t n, float scale, float *scores, float *out)
{
    for (uint32_t h = 0; h < n_heads; h++)
        attend_head(q + (size_t)h * dim, k, v, dim, n, scale, scores, out + (size_t)h * dim, 1);
}

static void add(const float *a, const float *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void from_half(const uint16_t *x, float *y, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_ps(y + i, load_kv(x, i, 1));
    for (; i < n; i++)
        y[i] = one_kv(x, i, 1);
}

static void to_half(const float *x, uint16_t *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = (uint16_t)_cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

const struct jm_cpu_kernels jm_cpu_avx2 = {
    .isa = "avx2",
    .pack = { .group = LANES, .f16 = JM_PACK_F16 },
    .k_block = 1,
    .linear = linear,
    .attend = attend,
    .attend16 = attend16,
    .to_half = to_half,
    .from_half = from_half,
    .add = add,
    .swiglu = swiglu,
    .gelu = jm_cpu_gelu,
    .rms_norm = jm_cpu_rms_norm,
    .rope = jm_cpu_rope,
    .argmax = jm_cpu_argmax,
    .quantise = jm_cpu_quantise,
};
