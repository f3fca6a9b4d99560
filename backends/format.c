/* SPDX-License-Identifier: Apache-2.0 */
/* The table of number formats, and the conversions of IEEE 754 half precision. See format.h. */
#include "backends/format.h"

#include <string.h>
#include <strings.h>

#include "backends/format_codecs.h"
#include "base/checked.h"

struct codec {
    struct jm_format_info info;
    jm_decode_fn *decode;
    jm_encode_fn *encode; /* NULL: none */
};

static const struct codec codecs[JM_FORMAT_COUNT] = {
    [JM_F32] = { .info = { .name = "F32", .block = 1, .block_bytes = 4, .has_encoder = true },
                 .decode = jm_decode_f32,
                 .encode = jm_encode_f32 },
    [JM_F16] = { .info = { .name = "F16", .block = 1, .block_bytes = 2, .has_encoder = true },
                 .decode = jm_decode_f16,
                 .encode = jm_encode_f16 },
    [JM_BF16] = { .info = { .name = "BF16", .block = 1, .block_bytes = 2, .has_encoder = true },
                  .decode = jm_decode_bf16,
                  .encode = jm_encode_bf16 },
    [JM_Q4_0] = { .info = { .name = "Q4_0", .block = 32, .block_bytes = 18, .has_encoder = true },
                  .decode = jm_decode_q4_0,
                  .encode = jm_encode_q4_0 },
    [JM_Q5_0] = { .info = { .name = "Q5_0", .block = 32, .block_bytes = 22, .has_encoder = true },
                  .decode = jm_decode_q5_0,
                  .encode = jm_encode_q5_0 },
    [JM_Q8_0] = { .info = { .name = "Q8_0", .block = 32, .block_bytes = 34, .has_encoder = true },
                  .decode = jm_decode_q8_0,
                  .encode = jm_encode_q8_0 },
    [JM_Q2_K] = { .info = { .name = "Q2_K", .block = 256, .block_bytes = 84 },
                  .decode = jm_decode_q2_k },
    [JM_Q3_K] = { .info = { .name = "Q3_K", .block = 256, .block_bytes = 110 },
                  .decode = jm_decode_q3_k },
    [JM_Q4_K] = { .info = { .name = "Q4_K", .block = 256, .block_bytes = 144, .has_encoder = true },
                  .decode = jm_decode_q4_k,
                  .encode = jm_encode_q4_k },
    [JM_Q5_K] = { .info = { .name = "Q5_K", .block = 256, .block_bytes = 176 },
                  .decode = jm_decode_q5_k },
    [JM_Q6_K] = { .info = { .name = "Q6_K", .block = 256, .block_bytes = 210, .has_encoder = true },
                  .decode = jm_decode_q6_k,
                  .encode = jm_encode_q6_k },
    [JM_IQ4_NL] = { .info = { .name = "IQ4_NL", .block = 32, .block_bytes = 18 },
                    .decode = jm_decode_iq4_nl },
    [JM_TQ2_0] = { .info = { .name = "TQ2_0", .block = 256, .block_bytes = 66 },
                   .decode = jm_decode_tq2_0 },
    [JM_STQ1_0] = { .info = { .name = "STQ1_0", .block = 256, .block_bytes = 42 },
                    .decode = jm_decode_stq1_0 },
};

const struct jm_format_info *jm_format_info(jm_format f)
{
    return &codecs[f].info;
}

bool jm_format_by_name(const char *name, jm_format *out)
{
    for (int f = 0; f < JM_FORMAT_COUNT; f++) {
        if (strcasecmp(name, codecs[f].info.name) == 0) {
            *out = (jm_format)f;
            return true;
        }
    }
    return false;
}

size_t jm_format_row_bytes(jm_format f, size_t n)
{
    const struct jm_format_info *info = &codecs[f].info;
    size_t bytes;
    if (n % info->block != 0 || !jm_mul_size(n / info->block, info->block_bytes, &bytes))
        return 0;
    return bytes;
}

void jm_format_decode(jm_format f, const void *src, float *dst, size_t n)
{
    codecs[f].decode(src, dst, n);
}

bool jm_format_encode(jm_format f, const float *src, void *dst, size_t n)
{
    if (!codecs[f].encode)
        return false;
    codecs[f].encode(src, dst, n);
    return true;
}

/* Half: 1 sign, 5 exponent (bias 15), 10 mantissa. Single: 1, 8 (bias 127), 23. */
float jm_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 0x1fu;
    uint32_t mantissa = h & 0x3ffu;
    uint32_t bits;
    float x;
    if (exponent == 0) { /* zero or subnormal: mantissa * 2^-24, exact in single */
        x = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &x, sizeof bits);
        bits |= sign;
    } else if (exponent == 31) { /* infinity or NaN; a signalling NaN turns quiet, as F16C does */
        bits = sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x00400000u : 0u);
    } else {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* v / 2^shift, rounded to nearest, ties to even. 0 < shift < 32. */
static uint32_t shift_round_even(uint32_t v, uint32_t shift)
{
    uint32_t kept = v >> shift;
    uint32_t lost = v & ((UINT32_C(1) << shift) - 1);
    uint32_t half = UINT32_C(1) << (shift - 1);
    if (lost > half || (lost == half && (kept & 1)))
        kept++;
    return kept;
}

uint16_t jm_f32_to_f16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t h;
    if (magnitude > 0x7f800000u) { /* NaN */
        h = 0x7e00u;
    } else if (magnitude >= 0x47800000u) { /* 65536 and more, infinity */
        h = 0x7c00u;
    } else if (magnitude >= 0x38800000u) { /* normal in half; a carry may reach infinity: right */
        h = shift_round_even(magnitude - (112u << 23), 13);
    } else if (magnitude >= 0x33000000u) { /* 2^-25 and more: subnormal in half */
        uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
        h = shift_round_even(mantissa, 126 - (magnitude >> 23));
    } else {
        h = 0;
    }
    return (uint16_t)(sign | h);
}
