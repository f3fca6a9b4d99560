/* SPDX-License-Identifier: Apache-2.0 */
/* One decoder for each number format, and an encoder where there is one. Internal to backends/:
 * format.c puts them in its table. src is little endian and of any alignment; n is a whole number
 * of blocks. */
#ifndef JM_BACKENDS_FORMAT_CODECS_H
#define JM_BACKENDS_FORMAT_CODECS_H

#include <stddef.h>
#include <stdint.h>

#include "backends/format.h"

/* src: n / block * block_bytes bytes. dst: f32 [n]. */
typedef void jm_decode_fn(const uint8_t *src, float *dst, size_t n);
/* src: f32 [n]. Values that are not finite, or too large for the block's scale, give some valid
 * block, never undefined behaviour. */
typedef void jm_encode_fn(const float *src, uint8_t *dst, size_t n);

jm_decode_fn jm_decode_f32, jm_decode_f16, jm_decode_bf16;
jm_decode_fn jm_decode_q4_0, jm_decode_q5_0, jm_decode_q8_0, jm_decode_iq4_nl, jm_decode_tq2_0;
jm_decode_fn jm_decode_q2_k, jm_decode_q3_k, jm_decode_q4_k, jm_decode_q5_k, jm_decode_q6_k;
jm_decode_fn jm_decode_stq1_0;

jm_encode_fn jm_encode_f32, jm_encode_f16, jm_encode_bf16;
jm_encode_fn jm_encode_q4_0, jm_encode_q5_0, jm_encode_q8_0;
jm_encode_fn jm_encode_q4_k, jm_encode_q6_k;

static inline uint16_t jm_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t jm_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void jm_store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8);
}

static inline void jm_store_u32(uint8_t *p, uint32_t v)
{
    jm_store_u16(p, (uint16_t)(v & 0xffff));
    jm_store_u16(p + 2, (uint16_t)(v >> 16));
}

static inline float jm_load_f16(const uint8_t *p)
{
    return jm_f16_to_f32(jm_load_u16(p));
}

/* The integers of one block: fields as stored (Q6_K: weight + 32), scales and offsets of their
 * groups. */
void jm_split_q4_k(const uint8_t *block, uint8_t field[256], uint8_t scale[8], uint8_t offset[8]);
void jm_split_q6_k(const uint8_t *block, uint8_t field[256], int8_t scale[16]);

/* Five bits a group: its nibble, and its sign above. */
void jm_split_stq1_0(const uint8_t *block, uint8_t code[64]);
/* The group that each code stands for: lane p is the 2-bit field p, value = field - 1. */
extern const uint8_t jm_stq1_0_patterns[32];

#endif
