/* SPDX-License-Identifier: Apache-2.0 */
/* See pack.h. */
#include "backends/cpu/pack.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "backends/format_codecs.h"
#include "base/checked.h"

enum { BLOCK = 32 };

static enum jm_pack_kind kind_of(const struct jm_tensor *t, struct jm_pack_layout l)
{
    bool fixed = l.f16 == JM_PACK_I16 && t->cols % BLOCK == 0;
    switch (t->format) {
    case JM_F32:
        return JM_PACK_F32;
    case JM_F16:
        return fixed ? JM_PACK_I16 : JM_PACK_F16;
    case JM_Q8_0:
        return JM_PACK_Q8;
    case JM_Q4_0:
        return JM_PACK_Q4;
    case JM_STQ1_0:
        return l.stq ? l.stq : JM_PACK_Q2;
    case JM_Q4_K:
        return JM_PACK_Q4K;
    case JM_Q6_K:
        return JM_PACK_Q6K;
    default:
        return fixed ? JM_PACK_I16 : JM_PACK_F32;
    }
}

static bool has_blocks(enum jm_pack_kind k)
{
    return k >= JM_PACK_I16;
}

/* Bytes of the levels of 32 inputs of G outputs. */
static size_t level_bytes(enum jm_pack_kind kind, size_t group)
{
    static const uint8_t quarter_bits[] = {
        [JM_PACK_I16] = 64, [JM_PACK_Q8] = 32,      [JM_PACK_Q4] = 16,  [JM_PACK_Q2] = 8,
        [JM_PACK_STQ] = 5,  [JM_PACK_STQ_SUMS] = 5, [JM_PACK_Q4K] = 16, [JM_PACK_Q6K] = 24
    };
    return group * (BLOCK / 32) * quarter_bits[kind];
}

/* Bytes of the scales of 256 inputs of one output. */
static size_t scale_bytes(enum jm_pack_kind kind)
{
    static const uint8_t bytes[] = {
        [JM_PACK_I16] = 8, [JM_PACK_Q8] = 16,      [JM_PACK_Q4] = 16,  [JM_PACK_Q2] = 16,
        [JM_PACK_STQ] = 2, [JM_PACK_STQ_SUMS] = 2, [JM_PACK_Q4K] = 20, [JM_PACK_Q6K] = 18
    };
    return bytes[kind];
}

/* Where in a group the levels of 32 k lie; and their scales or, of kinds that have these for 256 k
 * together, those. */
struct place {
    size_t levels, scales;
};

/* from: the first of the k. */
static struct place place_of(const struct jm_packed *p, size_t from)
{
    const size_t g = p->group, all = p->t.cols, len = p->piece ? p->piece : all,
                 at = from / len * len, n = all - at < len ? all - at : len,
                 levels = level_bytes(p->kind, g), scales = g * scale_bytes(p->kind) / 8,
                 begin = at / BLOCK * (levels + scales),
                 own = p->kind < JM_PACK_STQ ? from : from / 256 * 256;
    return (struct place){
        .levels = begin + (p->piece ? n / BLOCK * scales : 0) + (from - at) / BLOCK * levels,
        .scales = begin + (p->piece ? 0 : n / BLOCK * levels) + (own - at) / BLOCK * scales,
    };
}

static void pack_float_row(const struct jm_tensor *t, uint32_t row, struct jm_packed *p, float *tmp)
{
    size_t bytes = jm_format_row_bytes(t->format, t->cols), g = p->group, lane = row % g;
    const uint8_t *src = (const uint8_t *)t->data + row * bytes;
    uint8_t *dst = p->data + row / g * p->group_bytes;
    if (p->kind == JM_PACK_F16) {
        for (size_t k = 0; k < t->cols; k++)
            memcpy(dst + (k * g + lane) * 2, src + k * 2, 2);
        return;
    }
    jm_format_decode(t->format, src, tmp, t->cols);
    for (size_t k = 0; k < t->cols; k++)
        memcpy(dst + (k * g + lane) * 4, &tmp[k], 4);
}

static uint32_t word_of(const uint8_t *level)
{
    uint32_t w;
    memcpy(&w, level, 4);
    return w;
}

/* The 32 levels of one output into a block, four inputs at a time: see pack.h. */
static void put_levels(enum jm_pack_kind kind, uint8_t *q, size_t lane, size_t g,
                       const uint8_t level[BLOCK])
{
    size_t runs = kind == JM_PACK_Q8 ? 1 : kind == JM_PACK_Q4 ? 2 : 4, bits = 8 / runs;
    size_t vectors = 8 / runs;
    for (size_t j = 0; j < vectors; j++) {
        uint32_t w = 0;
        for (size_t s = 0; s < runs; s++)
            w |= word_of(level + 4 * (j + vectors * s)) << (bits * s);
        memcpy(q + (j * g + lane) * 4, &w, 4);
    }
}

/* Rows [0, n) of a group of Q8_0 or Q4_0, whose blocks hold after their scale `words` words of four
 * levels, in the order in which they are wanted: a transposition, and for Q8 each sign turned. */
static inline void pack_words(const uint8_t *src, size_t row_bytes, size_t n, size_t words,
                              struct jm_packed *p, uint8_t *group)
{
    const size_t g = p->group, blocks = p->t.cols / BLOCK, each = 2 + 4 * words;
    const uint32_t turn = p->kind == JM_PACK_Q8 ? 0x80808080 : 0;
    for (size_t b = 0; b < blocks; b++) {
        const struct place to = place_of(p, b * BLOCK);
        for (size_t lane = 0; lane < n; lane++) {
            const uint8_t *from = src + lane * row_bytes + b * each;
            memcpy(group + to.scales + 2 * lane, from, 2);
            for (size_t j = 0; j < words; j++) {
                uint32_t w = word_of(from + 2 + 4 * j) ^ turn;
                memcpy(group + to.levels + (j * g + lane) * 4, &w, 4);
            }
        }
    }
}

static void pack_word_group(const struct jm_tensor *t, uint32_t first, uint32_t end,
                            struct jm_packed *p)
{
    size_t row_bytes = jm_format_row_bytes(t->format, t->cols);
    const uint8_t *src = (const uint8_t *)t->data + first * row_bytes;
    uint8_t *group = p->data + first / p->group * p->group_bytes;
    if (p->kind == JM_PACK_Q8) /* constants, so that the loops unroll */
        pack_words(src, row_bytes, end - first, 8, p, group);
    else
        pack_words(src, row_bytes, end - first, 4, p, group);
}

/* STQ1_0 only: the signs of a row's weights as -1, 0, 1, by decoding it with every scale 1. */
static void unit_row(const struct jm_tensor *t, const uint8_t *row, float *unit)
{
    uint8_t block[42];
    for (size_t b = 0; b < t->cols / 256; b++) {
        memcpy(block, row + b * 42, 40);
        block[40] = 0x00;
        block[41] = 0x3c; /* f16 1.0 */
        jm_format_decode(JM_STQ1_0, block, unit + b * 256, 256);
    }
}

static void pack_signs_row(const struct jm_tensor *t, uint32_t row, struct jm_packed *p,
                           float *unit)
{
    const uint8_t *src = (const uint8_t *)t->data + row * jm_format_row_bytes(t->format, t->cols);
    size_t g = p->group, lane = row % g;
    uint8_t *group = p->data + row / g * p->group_bytes;
    unit_row(t, src, unit);
    for (size_t b = 0; b < t->cols / BLOCK; b++) {
        const struct place to = place_of(p, b * BLOCK);
        uint8_t level[BLOCK];
        for (size_t i = 0; i < BLOCK; i++)
            level[i] = (uint8_t)((int)unit[b * BLOCK + i] + 1);
        memcpy(group + to.scales + lane * 2, src + b / 8 * 42 + 40, 2);
        put_levels(p->kind, group + to.levels, lane, g, level);
    }
}

/* Eight codes of five bits at each byte into five bytes: see pack.h. */
static void put_codes(const uint32_t code[8], uint8_t *q, size_t lane, size_t g)
{
    const uint32_t low = 0x07070707, two = 0x18181818, three = 0x08080808, four = 0x10101010;
    const uint32_t v[5] = { code[0] | (code[5] & low) << 5,
                            code[1] | (code[5] & two) << 2 | (code[7] & three) << 4,
                            code[2] | (code[6] & low) << 5,
                            code[3] | (code[6] & two) << 2 | (code[7] & four) << 3,
                            code[4] | (code[7] & low) << 5 };
    for (size_t i = 0; i < 5; i++)
        memcpy(q + (i * g + lane) * 4, &v[i], 4);
}

static void pack_stq_row(const struct jm_tensor *t, const uint8_t *src, struct jm_packed *p,
                         uint8_t *group, size_t lane)
{
    const size_t g = p->group, half = 4 * level_bytes(p->kind, g);
    uint32_t code[16]; /* of four groups each */
    for (size_t s = 0; s < t->cols / 256; s++, src += 42) {
        const struct place to = place_of(p, 256 * s);
        uint8_t one[64];
        jm_split_stq1_0(src, one);
        memcpy(code, one, sizeof code);
        put_codes(code, group + to.levels, lane, g);
        put_codes(code + 8, group + to.levels + half, lane, g);
        memcpy(group + to.scales + lane * 2, src + 40, 2);
    }
}

/* The three bits of fields 0, 1 or 2 (weight + 1) of a pair, the upper one when a zero is in it. */
static unsigned pair_bits(unsigned first, unsigned second)
{
    if (first != 1 && second != 1)
        return first / 2 | (second & 2);
    return 4 | (first == 1 ? second & 2 : 1 | (first & 2));
}

/* A group's code in STQ_SUMS: see pack.h. */
static uint8_t sums_code(uint8_t pattern)
{
    unsigned a = pair_bits(pattern & 3, pattern >> 2 & 3),
             b = pair_bits(pattern >> 4 & 3, pattern >> 6), zero = a & 4;
    bool turned = !(a & 2);
    unsigned signs_a = zero ? 2 : 3, signs_b = zero ? 3 : 2;
    if (turned) {
        a ^= signs_a;
        b ^= signs_b;
    }
    return (uint8_t)((b & 3) | zero | (a & 1) << 3 | (turned ? 16u : 0u));
}

/* Byte i in bits 8 i on. */
static uint64_t eight(const uint8_t *byte)
{
    uint64_t w = 0;
    for (int i = 0; i < 8; i++)
        w |= (uint64_t)byte[i] << 8 * i;
    return w;
}

/* 16 codes, those of 64 inputs, as bytes of a word: see pack.h. */
static void put_sums_codes(uint64_t low, uint64_t high, uint8_t *q)
{
    const uint64_t four = 0x0f0f0f0f0f0f0f0f, one = 0x0101010101010101,
                   gather = 0x0102040810204080; /* bit 0 of byte i to bit 56 + i */
    uint64_t both = (low & four) | (high & four) << 4;
    for (size_t c = 0; c < 8; c++, both >>= 8)
        q[c * JM_SUMS_GROUP] = (uint8_t)both;
    q[8 * JM_SUMS_GROUP] = (uint8_t)((low >> 4 & one) * gather >> 56);
    q[9 * JM_SUMS_GROUP] = (uint8_t)((high >> 4 & one) * gather >> 56);
}

static void pack_sums_row(const struct jm_tensor *t, const uint8_t *src, struct jm_packed *p,
                          uint8_t *group, size_t lane)
{
    uint8_t of[32], code[64];
    for (size_t i = 0; i < sizeof of; i++)
        of[i] = sums_code(jm_stq1_0_patterns[i]);
    for (size_t s = 0; s < t->cols / 256; s++, src += 42) {
        const struct place to = place_of(p, 256 * s);
        jm_split_stq1_0(src, code);
        for (size_t i = 0; i < sizeof code; i++)
            code[i] = of[code[i]];
        for (size_t i = 0; i < 4; i++)
            put_sums_codes(eight(code + 16 * i), eight(code + 16 * i + 8),
                           group + to.levels + i * (10 * JM_SUMS_GROUP) + lane);
        memcpy(group + to.scales + lane * 2, src + 40, 2);
    }
}

static void pack_q4k_row(const struct jm_tensor *t, const uint8_t *src, struct jm_packed *p,
                         uint8_t *group, size_t lane)
{
    size_t g = p->group, bytes = level_bytes(p->kind, g);
    uint8_t field[256], scale[8], offset[8];
    for (size_t s = 0; s < t->cols / 256; s++, src += 144) {
        const struct place to = place_of(p, 256 * s);
        uint8_t *scales = group + to.scales;
        jm_split_q4_k(src, field, scale, offset);
        memcpy(scales + lane * 2, src, 2);
        memcpy(scales + (g + lane) * 2, src + 2, 2);
        for (size_t b = 0; b < 8; b++) {
            put_levels(JM_PACK_Q4, group + to.levels + b * bytes, lane, g, field + b * BLOCK);
            scales[(4 + b) * g + lane] = scale[b];
            scales[(12 + b) * g + lane] = offset[b];
        }
    }
}

static void pack_q6k_row(const struct jm_tensor *t, const uint8_t *src, struct jm_packed *p,
                         uint8_t *group, size_t lane)
{
    size_t g = p->group, bytes = level_bytes(p->kind, g), low = level_bytes(JM_PACK_Q4, g);
    uint8_t field[256];
    int8_t scale[16];
    for (size_t s = 0; s < t->cols / 256; s++, src += 210) {
        const struct place to = place_of(p, 256 * s);
        uint8_t *scales = group + to.scales;
        jm_split_q6_k(src, field, scale);
        memcpy(scales + lane * 2, src + 208, 2);
        for (size_t b = 0; b < 8; b++) {
            uint8_t *q = group + to.levels + b * bytes, nibble[BLOCK], top[BLOCK];
            for (size_t i = 0; i < BLOCK; i++) {
                nibble[i] = field[b * BLOCK + i] & 15;
                top[i] = field[b * BLOCK + i] >> 4;
            }
            put_levels(JM_PACK_Q4, q, lane, g, nibble);
            put_levels(JM_PACK_Q2, q + low, lane, g, top);
        }
        for (size_t b = 0; b < 16; b++)
            scales[(2 + b) * g + lane] = (uint8_t)scale[b];
    }
}

static void pack_block_row(const struct jm_tensor *t, uint32_t row, struct jm_packed *p)
{
    const uint8_t *src = (const uint8_t *)t->data + row * jm_format_row_bytes(t->format, t->cols);
    uint8_t *group = p->data + row / p->group * p->group_bytes;
    if (p->kind == JM_PACK_STQ)
        pack_stq_row(t, src, p, group, row % p->group);
    else if (p->kind == JM_PACK_STQ_SUMS)
        pack_sums_row(t, src, p, group, row % p->group);
    else if (p->kind == JM_PACK_Q4K)
        pack_q4k_row(t, src, p, group, row % p->group);
    else
        pack_q6k_row(t, src, p, group, row % p->group);
}

/* The exponent e of I16: the largest of 32 weights is below 2^13 times 2^(e - 127). */
static uint8_t exponent_of(const float *w)
{
    float largest = 0.0f;
    int exponent;
    for (int i = 0; i < BLOCK; i++) {
        if (!isfinite(w[i]))
            return 255;
        largest = fmaxf(largest, fabsf(w[i]));
    }
    frexpf(largest, &exponent); /* -148..128, of F16 -23..16 */
    return (uint8_t)(exponent > 13 - 127 ? exponent - 13 + 127 : 1);
}

static void pack_fixed_row(const struct jm_tensor *t, uint32_t row, struct jm_packed *p, float *tmp)
{
    size_t g = p->group, lane = row % g;
    uint8_t *group = p->data + row / g * p->group_bytes;
    jm_format_decode(t->format,
                     (const uint8_t *)t->data + row * jm_format_row_bytes(t->format, t->cols), tmp,
                     t->cols);
    for (size_t b = 0; b < t->cols / BLOCK; b++) {
        const struct place to = place_of(p, b * BLOCK);
        const float *w = tmp + b * BLOCK;
        uint8_t e = exponent_of(w);
        float unit = e == 255 ? 0.0f : ldexpf(1.0f, 127 - e);
        group[to.scales + lane] = e;
        for (size_t i = 0; i < BLOCK; i += 2) {
            int16_t two[2] = { 0, 0 };
            if (e != 255) {
                two[0] = (int16_t)lrintf(w[i] * unit);
                two[1] = (int16_t)lrintf(w[i + 1] * unit);
            }
            memcpy(group + to.levels + (i / 2 * g + lane) * 4, two, 4);
        }
    }
}

/* Fills in the sizes; false when they do not fit in memory. */
static bool lay_out(struct jm_packed *p, size_t *total)
{
    size_t g = p->group, blocks = p->t.cols / BLOCK;
    bool ok;
    if (has_blocks(p->kind)) {
        size_t levels, scales;
        ok = jm_mul_size(blocks, level_bytes(p->kind, g), &levels) &&
             jm_mul_size(blocks, g * scale_bytes(p->kind) / 8, &scales) &&
             jm_add_size(levels, scales, &p->group_bytes);
        p->scales = ok && p->piece == 0 ? levels : 0;
    } else {
        ok = jm_mul_size(p->t.cols, g * (p->kind == JM_PACK_F16 ? 2 : 4), &p->group_bytes);
    }
    if (!ok || p->group_bytes > SIZE_MAX - 64)
        return false;
    p->group_bytes = (p->group_bytes + 63) & ~(size_t)63;
    return jm_mul_size(p->group_bytes, p->n_groups, total);
}

jm_status jm_pack_size(const struct jm_tensor *t, struct jm_pack_layout layout,
                       struct jm_packed *out, size_t *bytes, jm_err *err)
{
    const enum jm_pack_kind kind = layout.group == 1 ? JM_PACK_NONE : kind_of(t, layout);
    const uint32_t group = kind == JM_PACK_STQ_SUMS ? JM_SUMS_GROUP : layout.group;
    *out = (struct jm_packed){ .kind = kind, .t = *t, .group = group, .piece = layout.piece };
    *bytes = 0;
    out->n_groups = t->rows / group + (t->rows % group != 0);
    if (kind == JM_PACK_NONE)
        return JM_OK;
    return lay_out(out, bytes)
               ? JM_OK
               : jm_fail(err, JM_ENOMEM, "%s: the weight does not fit in memory", t->name);
}

void jm_pack_groups(struct jm_packed *p, uint32_t from, uint32_t to, float *tmp)
{
    const struct jm_tensor *t = &p->t;
    for (uint32_t g = from; g < to && p->data; g++) {
        uint32_t end = (g + 1) * p->group < t->rows ? (g + 1) * p->group : t->rows;
        if (end - g * p->group < p->group) /* rows that are missing */
            memset(p->data + g * p->group_bytes, 0, p->group_bytes);
        if (p->kind == JM_PACK_Q8 || p->kind == JM_PACK_Q4) {
            pack_word_group(t, g * p->group, end, p);
            continue;
        }
        for (uint32_t row = g * p->group; row < end; row++) {
            if (p->kind == JM_PACK_I16)
                pack_fixed_row(t, row, p, tmp);
            else if (p->kind >= JM_PACK_STQ)
                pack_block_row(t, row, p);
            else if (jm_packed_is_quantised(p))
                pack_signs_row(t, row, p, tmp);
            else
                pack_float_row(t, row, p, tmp);
        }
    }
}

jm_status jm_pack(const struct jm_tensor *t, struct jm_pack_layout layout, struct jm_packed *out,
                  jm_err *err)
{
    size_t bytes;
    jm_status st = jm_pack_size(t, layout, out, &bytes, err);
    float *tmp = st == JM_OK ? malloc(t->cols * sizeof *tmp) : NULL;
    if (bytes > 0)
        out->data = out->owned = aligned_alloc(64, bytes);
    if (st == JM_OK && (!tmp || (bytes > 0 && !out->data)))
        st = jm_fail(err, JM_ENOMEM, "%s: out of memory repacking the weight", t->name);
    if (st == JM_OK)
        jm_pack_groups(out, 0, out->n_groups, tmp);
    else
        jm_packed_free(out);
    free(tmp);
    return st;
}

void jm_packed_free(struct jm_packed *p)
{
    free(p->owned);
    *p = (struct jm_packed){ 0 };
}
