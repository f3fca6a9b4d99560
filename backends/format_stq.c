/* SPDX-License-Identifier: Apache-2.0 */
/* STQ1_0, the 1.25-bit sparse ternary format of Hy-MT ("Sherry"): of every four weights one is
 * zero, the others are +d or -d, which makes 32 patterns. */
#include "backends/format_codecs.h"

/* Code / 4 % 4 is the lane that is zero. The second half are the first's negatives: 0xAA - entry.
 */
const uint8_t jm_stq1_0_patterns[32] = { 0xA9, 0x89, 0x29, 0x09, 0xA6, 0x86, 0x26, 0x06,
                                         0x9A, 0x92, 0x1A, 0x12, 0x6A, 0x62, 0x4A, 0x42,
                                         0x01, 0x21, 0x81, 0xA1, 0x04, 0x24, 0x84, 0xA4,
                                         0x10, 0x18, 0x90, 0x98, 0x40, 0x48, 0x60, 0x68 };

/* 42 bytes: qs[32], sign[8], d. Code of group g (of 64): a nibble of qs[g / 2], low for even g;
 * its sign: bit g % 8 of sign[g / 8]. Its lane p is weight (g / 16) * 64 + p * 16 + g % 16. */
void jm_split_stq1_0(const uint8_t *block, uint8_t code[64])
{
    for (int g = 0; g < 64; g++) {
        const int sign = block[32 + g / 8] >> (g % 8) & 1;
        code[g] = (uint8_t)((block[g / 2] >> (g % 2 * 4) & 15) | sign << 4);
    }
}

void jm_decode_stq1_0(const uint8_t *src, float *dst, size_t n)
{
    uint8_t code[64];
    for (; n >= 256; n -= 256, src += 42, dst += 256) {
        const float d = jm_load_f16(src + 40);
        jm_split_stq1_0(src, code);
        for (int g = 0; g < 64; g++) {
            float *lane0 = dst + g / 16 * 64 + g % 16;
            for (int p = 0; p < 4; p++)
                lane0[16 * p] = (float)((jm_stq1_0_patterns[code[g]] >> (2 * p) & 3) - 1) * d;
        }
    }
}
