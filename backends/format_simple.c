/* SPDX-License-Identifier: Apache-2.0 */
/* Plain floating point, and the formats whose blocks have one scale. In each layout below, d is the
 * scale, a half-precision number, and fields follow one another without gaps. */
#include <math.h>
#include <string.h>

#include "backends/format_codecs.h"

enum { BLOCK = 32 }; /* weights a block of Q4_0, Q5_0, Q8_0 and IQ4_NL */

void jm_decode_f32(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = jm_load_u32(src + 4 * i);
        memcpy(&dst[i], &bits, sizeof bits);
    }
}

void jm_encode_f32(const float *src, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &src[i], sizeof bits);
        jm_store_u32(dst + 4 * i, bits);
    }
}

void jm_decode_f16(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = jm_load_f16(src + 2 * i);
}

void jm_encode_f16(const float *src, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++)
        jm_store_u16(dst + 2 * i, jm_f32_to_f16(src[i]));
}

/* bfloat16 is the upper half of a single. */
void jm_decode_bf16(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)jm_load_u16(src + 2 * i) << 16;
        memcpy(&dst[i], &bits, sizeof bits);
    }
}

/* Rounds to nearest, ties to even; a NaN stays a (quiet) NaN. */
void jm_encode_bf16(const float *src, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &src[i], sizeof bits);
        if ((bits & 0x7fffffffu) > 0x7f800000u)
            bits |= 0x00400000u;
        else
            bits += 0x7fffu + ((bits >> 16) & 1u);
        jm_store_u16(dst + 2 * i, (uint16_t)(bits >> 16));
    }
}

/* Towards zero into [low, high]; NaN gives low. A plain cast of an unfit value is undefined. */
static int clamp_to_int(float v, int low, int high)
{
    if (!(v > (float)low))
        return low;
    return v < (float)high ? (int)v : high;
}

/* The value of largest magnitude, with its sign; the first of several. */
static float signed_extreme(const float *x, size_t n)
{
    float largest = 0.0f, extreme = 0.0f;
    for (size_t i = 0; i < n; i++) {
        if (fabsf(x[i]) > largest) {
            largest = fabsf(x[i]);
            extreme = x[i];
        }
    }
    return extreme;
}

/* Q4_0, 32 weights in 18 bytes: d, qs[16]. Weight j is the low nibble of qs[j], weight j + 16 the
 * high one; value = d * (nibble - 8). */
void jm_decode_q4_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, src += 18, dst += BLOCK) {
        const float d = jm_load_f16(src);
        const uint8_t *qs = src + 2;
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)((qs[j] & 15) - 8) * d;
            dst[j + 16] = (float)((qs[j] >> 4) - 8) * d;
        }
    }
}

/* The value of largest magnitude becomes field 0, so d takes the opposite sign of it. */
void jm_encode_q4_0(const float *src, uint8_t *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, dst += 18, src += BLOCK) {
        const float d = signed_extreme(src, BLOCK) / -8.0f;
        const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
        jm_store_u16(dst, jm_f32_to_f16(d));
        for (int j = 0; j < 16; j++) {
            int low = clamp_to_int(src[j] * inverse + 8.5f, 0, 15);
            int high = clamp_to_int(src[j + 16] * inverse + 8.5f, 0, 15);
            dst[2 + j] = (uint8_t)(low | high << 4);
        }
    }
}

/* Q5_0, 32 weights in 22 bytes: d, qh (u32), qs[16]. The low four bits lie as in Q4_0; the fifth
 * of weight i is bit i of qh; value = d * (field - 16). */
void jm_decode_q5_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, src += 22, dst += BLOCK) {
        const float d = jm_load_f16(src);
        const uint32_t qh = jm_load_u32(src + 2);
        const uint8_t *qs = src + 6;
        for (int j = 0; j < 16; j++) {
            int low = (qs[j] & 15) | (int)(qh >> j & 1) << 4;
            int high = (qs[j] >> 4) | (int)(qh >> (j + 16) & 1) << 4;
            dst[j] = (float)(low - 16) * d;
            dst[j + 16] = (float)(high - 16) * d;
        }
    }
}

void jm_encode_q5_0(const float *src, uint8_t *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, dst += 22, src += BLOCK) {
        const float d = signed_extreme(src, BLOCK) / -16.0f;
        const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
        uint32_t qh = 0;
        for (int j = 0; j < 16; j++) {
            int low = clamp_to_int(src[j] * inverse + 16.5f, 0, 31);
            int high = clamp_to_int(src[j + 16] * inverse + 16.5f, 0, 31);
            qh |= (uint32_t)(low >> 4) << j | (uint32_t)(high >> 4) << (j + 16);
            dst[6 + j] = (uint8_t)((low & 15) | (high & 15) << 4);
        }
        jm_store_u16(dst, jm_f32_to_f16(d));
        jm_store_u32(dst + 2, qh);
    }
}

/* Q8_0, 32 weights in 34 bytes: d, qs[32] signed; value = d * q. */
void jm_decode_q8_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, src += 34, dst += BLOCK) {
        const float d = jm_load_f16(src);
        for (int j = 0; j < BLOCK; j++)
            dst[j] = (float)(int8_t)src[2 + j] * d;
    }
}

void jm_encode_q8_0(const float *src, uint8_t *dst, size_t n)
{
    for (; n >= BLOCK; n -= BLOCK, dst += 34, src += BLOCK) {
        const float d = fabsf(signed_extreme(src, BLOCK)) / 127.0f;
        const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
        jm_store_u16(dst, jm_f32_to_f16(d));
        for (int j = 0; j < BLOCK; j++)
            dst[2 + j] = (uint8_t)(int8_t)clamp_to_int(roundf(src[j] * inverse), -128, 127);
    }
}

/* IQ4_NL, 32 weights in 18 bytes, laid out as Q4_0; the nibble chooses one of 16 unevenly spaced
 * levels, which are part of the format. */
void jm_decode_iq4_nl(const uint8_t *src, float *dst, size_t n)
{
    static const int8_t level[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113 };
    for (; n >= BLOCK; n -= BLOCK, src += 18, dst += BLOCK) {
        const float d = jm_load_f16(src);
        const uint8_t *qs = src + 2;
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)level[qs[j] & 15];
            dst[j + 16] = d * (float)level[qs[j] >> 4];
        }
    }
}

/* TQ2_0, 256 weights in 66 bytes: qs[64], d. Each half block of 128 weights has 32 bytes; its
 * weight 32 l + m is the 2-bit field l of byte m; value = d * (field - 1). */
void jm_decode_tq2_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n >= 256; n -= 256, src += 66, dst += 256) {
        const float d = jm_load_f16(src + 64);
        for (int i = 0; i < 256; i++) {
            int byte = i / 128 * 32 + i % 32;
            int shift = i % 128 / 32 * 2;
            dst[i] = (float)((src[byte] >> shift & 3) - 1) * d;
        }
    }
}
