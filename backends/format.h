/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats of weights as files hold them (ggml's encodings, which GGUF files use, and
 * STQ1_0). Part of the door between workloads and backends: a graph's weights are in one of
 * these, and a backend repacks them as it likes. Rows are independent; a row is a whole number of
 * blocks, little endian. */
#ifndef JM_BACKENDS_FORMAT_H
#define JM_BACKENDS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum jm_format {
    JM_F32,
    JM_F16,
    JM_BF16,
    JM_Q4_0,
    JM_Q5_0,
    JM_Q8_0,
    JM_Q2_K,
    JM_Q3_K,
    JM_Q4_K,
    JM_Q5_K,
    JM_Q6_K,
    JM_IQ4_NL,
    JM_TQ2_0,
    JM_STQ1_0,
    JM_FORMAT_COUNT
} jm_format;

struct jm_format_info {
    const char *name;     /* "Q4_0" */
    uint32_t block;       /* weights a block */
    uint32_t block_bytes; /* bytes a block */
    bool has_encoder;     /* jm_format_encode works */
};

/* f < JM_FORMAT_COUNT. Never NULL. */
const struct jm_format_info *jm_format_info(jm_format f);

/* Case-insensitive name to format. false: no such format. */
bool jm_format_by_name(const char *name, jm_format *out);

/* Bytes of one row of n weights; 0 when n is not a whole number of blocks. */
size_t jm_format_row_bytes(jm_format f, size_t n);

/* src: one row, jm_format_row_bytes(f, n) bytes, any alignment. dst: f32 [n]. n: whole blocks.
 * Bit for bit what ggml decodes. */
void jm_format_decode(jm_format f, const void *src, float *dst, size_t n);

/* The reverse, for formats whose info says has_encoder; false for others. Bit for bit what
 * ggml's reference encoder writes for Q4_0, Q5_0 and Q8_0; for Q4_K and Q6_K our own search for the
 * least squared error. */
bool jm_format_encode(jm_format f, const float *src, void *dst, size_t n);

float jm_f16_to_f32(uint16_t h);
/* Round to nearest, ties to even. */
uint16_t jm_f32_to_f16(float x);

#endif
