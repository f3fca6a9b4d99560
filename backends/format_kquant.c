/* SPDX-License-Identifier: Apache-2.0 */
/* The k-quants: 256 weights a block, split into groups of 16 or 32 that have small integer scales
 * (and for some, offsets) of their own, in units of one or two half-precision numbers. */
#include "backends/format_codecs.h"

enum { BLOCK = 256 };

/* Q2_K, 84 bytes: scales[16], qs[64], d, dmin. Group g of 16 weights has scale (scales[g] & 15) * d
 * and offset (scales[g] >> 4) * dmin. Each half block has 32 bytes of qs; its weight 32 j + l is
 * the 2-bit field j of byte l. value = scale * field - offset. */
void jm_decode_q2_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, src += 84, dst += BLOCK) {
        const uint8_t *qs = src + 16;
        const float d = jm_load_f16(src + 80);
        const float dmin = jm_load_f16(src + 82);
        for (int g = 0; g < 16; g++) {
            const float scale = d * (float)(src[g] & 15);
            const float offset = dmin * (float)(src[g] >> 4);
            const uint8_t *q = qs + g / 8 * 32 + g % 2 * 16;
            const int shift = g % 8 / 2 * 2;
            for (int l = 0; l < 16; l++)
                dst[16 * g + l] = scale * (float)(q[l] >> shift & 3) - offset;
        }
    }
}

/* Q3_K, 110 bytes: hmask[32], qs[64], scales[12], d. Low two bits as in Q2_K; the third bit of
 * weight 32 k + l is bit k of hmask[l]; value = scale * (field - 4).
 * Scales are 6 bits: the low four of group g in a nibble of scales[g % 8] (high nibble from group 8
 * on), the upper two in field g / 4 of scales[8 + g % 4]; scale = d * (s - 32). */
void jm_decode_q3_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, src += 110, dst += BLOCK) {
        const uint8_t *hmask = src, *qs = src + 32, *scales = src + 96;
        const float d = jm_load_f16(src + 108);
        for (int g = 0; g < 16; g++) {
            const int low = scales[g % 8] >> (g < 8 ? 0 : 4) & 15;
            const int high = scales[8 + g % 4] >> (g / 4 * 2) & 3;
            const float scale = d * (float)((low | high << 4) - 32);
            const uint8_t *q = qs + g / 8 * 32 + g % 2 * 16;
            const uint8_t *h = hmask + g % 2 * 16;
            const int shift = g % 8 / 2 * 2;
            for (int l = 0; l < 16; l++) {
                int field = (q[l] >> shift & 3) | (h[l] >> (g / 2) & 1) << 2;
                dst[16 * g + l] = scale * (float)(field - 4);
            }
        }
    }
}

/* The 6-bit scale and offset of group g (of 8) in the 12 bytes that Q4_K and Q5_K share: groups
 * 0..3 in the low six bits of bytes 0..3 (scale) and 4..7 (offset); groups 4..7 have their low four
 * bits in bytes 8..11 (scale low nibble, offset high) and the upper two on top of bytes 0..7. */
static void scale_offset(const uint8_t s[12], int g, int *scale, int *offset)
{
    if (g < 4) {
        *scale = s[g] & 63;
        *offset = s[g + 4] & 63;
    } else {
        *scale = (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
        *offset = s[g + 4] >> 4 | s[g] >> 6 << 4;
    }
}

/* Q4_K, 144 bytes: d, dmin, scales[12], qs[128]. Groups of 32; groups 2k and 2k + 1 are the low and
 * high nibbles of the same 32 bytes. value = scale * nibble - offset. */
void jm_split_q4_k(const uint8_t *block, uint8_t field[256], uint8_t scale[8], uint8_t offset[8])
{
    for (int g = 0; g < 8; g++) {
        int s, m;
        scale_offset(block + 4, g, &s, &m);
        scale[g] = (uint8_t)s;
        offset[g] = (uint8_t)m;
        const uint8_t *q = block + 16 + g / 2 * 32;
        for (int l = 0; l < 32; l++)
            field[32 * g + l] = q[l] >> (g % 2 * 4) & 15;
    }
}

void jm_decode_q4_k(const uint8_t *src, float *dst, size_t n)
{
    uint8_t field[BLOCK], scale[8], offset[8];
    for (; n >= BLOCK; n -= BLOCK, src += 144, dst += BLOCK) {
        const float d = jm_load_f16(src);
        const float dmin = jm_load_f16(src + 2);
        jm_split_q4_k(src, field, scale, offset);
        for (int g = 0; g < 8; g++) {
            const float s = d * (float)scale[g], m = dmin * (float)offset[g];
            for (int l = 0; l < 32; l++)
                dst[32 * g + l] = s * (float)field[32 * g + l] - m;
        }
    }
}

/* Q5_K, 176 bytes: d, dmin, scales[12], qh[32], qs[128]. As Q4_K, with the fifth bit of weight
 * 32 g + l in bit g of qh[l]. */
void jm_decode_q5_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, src += 176, dst += BLOCK) {
        const float d = jm_load_f16(src);
        const float dmin = jm_load_f16(src + 2);
        const uint8_t *qh = src + 16;
        for (int g = 0; g < 8; g++) {
            int s, m;
            scale_offset(src + 4, g, &s, &m);
            const float scale = d * (float)s, offset = dmin * (float)m;
            const uint8_t *q = src + 48 + g / 2 * 32;
            for (int l = 0; l < 32; l++) {
                int field = (q[l] >> (g % 2 * 4) & 15) | (qh[l] >> g & 1) << 4;
                dst[32 * g + l] = scale * (float)field - offset;
            }
        }
    }
}

/* Q6_K, 210 bytes: ql[128], qh[64], scales[16] signed, d. Each half block of 128 weights has 64
 * bytes of ql and 32 of qh; its weight 32 k + l has its low four bits in ql[32 (k % 2) + l] (high
 * nibble for k >= 2) and the upper two in field k of qh[l]. Scales are for 16 weights;
 * value = d * scale * (field - 32). */
void jm_split_q6_k(const uint8_t *block, uint8_t field[256], int8_t scale[16])
{
    for (int g = 0; g < 16; g++) {
        const int half = g / 8, k = g % 8 / 2, first = g % 2 * 16;
        const uint8_t *ql = block + 64 * half + k % 2 * 32 + first;
        const uint8_t *qh = block + 128 + 32 * half + first;
        scale[g] = (int8_t)block[192 + g];
        for (int l = 0; l < 16; l++)
            field[16 * g + l] =
                (uint8_t)((ql[l] >> (k / 2 * 4) & 15) | (qh[l] >> (2 * k) & 3) << 4);
    }
}

void jm_decode_q6_k(const uint8_t *src, float *dst, size_t n)
{
    uint8_t field[BLOCK];
    int8_t scale[16];
    for (; n >= BLOCK; n -= BLOCK, src += 210, dst += BLOCK) {
        const float d = jm_load_f16(src + 208);
        jm_split_q6_k(src, field, scale);
        for (int g = 0; g < 16; g++) {
            const float s = d * (float)scale[g];
            for (int l = 0; l < 16; l++)
                dst[16 * g + l] = s * (float)(field[16 * g + l] - 32);
        }
    }
}
