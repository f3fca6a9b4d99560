/* SPDX-License-Identifier: Apache-2.0 */
/* Quantised linears of several rows: quantised.h cuts them into tiles of rows by panels of weights,
 * panel_pack.h lays out both in the order of their use, panel_tile.h multiplies. */
#ifndef JM_BACKENDS_CPU_AVX2_PANEL_H
#define JM_BACKENDS_CPU_AVX2_PANEL_H

#include <stdbool.h>

#include "backends/cpu/avx2/stq.h"

enum {
    PAIR = 2,       /* groups of 8 outputs, of a panel */
    TILE = 4,       /* rows of a tile at most: with PAIR the sums that registers hold */
    FOUR = 4 * TILE /* bytes of one word, or float, of each row */
};

/* Inputs that are multiplied without a pause, a multiple of 256 long unless they are the last. */
struct slice {
    uint32_t from, cols;
};

/* Q8 has no products of bytes that fit in 16 bits: without VPDPBUSD levels and activations become
 * integers of 16 bits, of which two are multiplied and added at a time. */
INLINE bool is_wide(const enum jm_pack_kind kind)
{
    return Q8_OFFSET == 0 && kind == JM_PACK_Q8;
}

/* Inputs with one scale of activations. */
INLINE uint32_t block_of(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_STQ_SUMS ? STQ_SPAN : BLOCK;
}

/* Steps of a block, each a vector of levels for each group and a word of each row: four inputs,
 * wide ones two. */
INLINE int steps_of(const enum jm_pack_kind kind)
{
    return (int)block_of(kind) / (is_wide(kind) ? 2 : 4);
}

/* Outputs that lie together in memory. */
INLINE size_t group_of(const enum jm_pack_kind kind)
{
    return kind == JM_PACK_STQ_SUMS ? (size_t)JM_SUMS_GROUP : (size_t)LANES;
}

/* Bytes of a block:
 *   levels as they are packed, of the outputs that lie together;
 *   levels of a panel, [PAIR][steps][8] words: u8 [4];
 *   scales of a panel, f32 [PAIR][8] that levels are multiplied with,
 *     of Q4K f32 [PAIR][8] that are taken off, of Q6K [2][PAIR] factors for 16 inputs each;
 *   activations of a tile, [steps][TILE] words, then what sums begin with [TILE] (Q6K: two, of 16
 *     inputs each; Q4K: f32 dsum instead), then scales f32 [TILE]. */
INLINE size_t packed_bytes(const enum jm_pack_kind kind)
{
    const size_t bytes = kind == JM_PACK_Q8         ? 32 /* of one output */
                         : kind == JM_PACK_Q6K      ? 24
                         : kind == JM_PACK_STQ_SUMS ? 10
                                                    : 16;
    return group_of(kind) * bytes;
}

/* The same of scales as they are packed, of 256 inputs. */
INLINE size_t packed_scale_bytes(const enum jm_pack_kind kind)
{
    return group_of(kind) * (kind == JM_PACK_Q4K        ? 20
                             : kind == JM_PACK_Q6K      ? 18
                             : kind == JM_PACK_STQ_SUMS ? 2
                                                        : 16);
}

INLINE size_t level_bytes(const enum jm_pack_kind kind)
{
    return (size_t)(PAIR * steps_of(kind) * 32);
}

INLINE size_t scale_bytes(const enum jm_pack_kind kind)
{
    return PAIR * 32 * (kind == JM_PACK_Q6K ? 3 : kind == JM_PACK_Q4K ? 2 : 1);
}

INLINE size_t act_bytes(const enum jm_pack_kind kind)
{
    return (size_t)FOUR * ((size_t)steps_of(kind) + (kind == JM_PACK_Q6K ? 3 : 2));
}

/* A tile by a panel, for a slice. */
struct piece {
    const uint8_t *levels[PAIR], *scales, *acts;
    uint32_t blocks;
    bool goes_on; /* sums do with what is in y */
    float *y;     /* of the first row and output */
    size_t ldy;
    size_t left[PAIR];     /* outputs from each group's first one on; 0: the group is not there */
    const char *ask[PAIR]; /* what will be wanted next */
    uint32_t ask_pace;     /* of each: lines a block, in PACE-ths */
};

enum { PACE = 256 };

#endif
