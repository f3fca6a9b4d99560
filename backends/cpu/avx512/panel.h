/* SPDX-License-Identifier: Apache-2.0 */
/* Linears of many rows: panel.c cuts them into tiles of rows by panels of weights, panel_pack.c
 * lays out both, panel_tile.c multiplies. */
#ifndef JM_BACKENDS_CPU_AVX512_PANEL_H
#define JM_BACKENDS_CPU_AVX512_PANEL_H

#include <stdbool.h>

#include "backends/cpu/avx512/lanes.h"
#include "backends/cpu/kernels.h"

enum {
    JM_PANEL_GROUPS = 2,
    JM_PANEL_ROWS = 8, /* the fewest that pay for panels */
    JM_TILE_MIN = 4,   /* rows of a tile */
    JM_TILE_MAX = 6,
    JM_RUN_BYTES = BLOCK * JM_TILE_MAX, /* of 32 activations of 8 bits, or 16 of 16 */
};

/* Inputs that are multiplied without a pause, a multiple of 256 long unless they are the last. */
struct jm_slice {
    uint32_t from, cols;
};

/* The weights of two groups for a slice. */
struct jm_panel {
    bool in_place; /* levels stay as they are packed, see jm_tiles_in_place */
    const uint8_t
        *levels;   /* of the first group: u8 [cols / 4][16][4], I16: s16 [cols / 2][16][2] */
    size_t ld;     /* bytes from there to the second group's */
    uint8_t *own;  /* room for levels that do not lie so in memory */
    float *scales; /* what levels are multiplied with:
                    *   Q4K: [cols / 32] of scales [2][16], then of what is taken off [2][16]
                    *   Q6K: [cols / 16][2][16];  STQ: [cols / 256][2][16]
                    *   others: [cols / 32][2][16] */
};

/* Fills one with a slice of groups g and g + 1. */
typedef void jm_unpack_fn(const struct jm_packed *w, uint32_t g, struct jm_slice s,
                          struct jm_panel *out);
jm_unpack_fn jm_avx512_unpack_plain, jm_avx512_unpack_q4k, jm_avx512_unpack_q6k;

/* A tile's activations in the order of their use, so that one pointer serves all; of each 32:
 *   s8 [8][6][4] (I16: s16 [16][6][2]), what a sum begins with s32 [6] (I16: none; Q6K: two, of 16
 *   each; Q4K: f32 dsum [6] instead), scales f32 [6].
 * Rows that the tile does not have are copies of its last one. */
static inline size_t jm_tile_block_bytes(enum jm_pack_kind kind)
{
    const size_t six = JM_TILE_MAX * sizeof(float);
    return kind == JM_PACK_I16   ? 2 * JM_RUN_BYTES + six
           : kind == JM_PACK_Q6K ? JM_RUN_BYTES + 3 * six
                                 : JM_RUN_BYTES + 2 * six;
}
void jm_avx512_lay_tile(uint8_t *out, const struct jm_acts *x, uint32_t row, uint32_t rows,
                        struct jm_slice s, enum jm_pack_kind kind);

/* A tile by a panel. */
struct jm_piece {
    struct jm_panel panel;
    struct jm_slice slice; /* the first one begins sums, others go on with what is in y */
    const uint8_t *acts;
    float *y; /* of its first row and output */
    size_t ldy;
    __mmask16 lanes[JM_PANEL_GROUPS];
    struct ahead ahead; /* of the panel that comes next */
};
typedef void jm_tile_fn(struct jm_piece *p);

/* Whether tiles take levels of this kind as they are packed: bytes always, of four bits for few
 * tiles, where masks cost less than unpacking. */
static inline bool jm_tiles_in_place(enum jm_pack_kind kind, uint32_t tiles)
{
    enum { FEW = 4 };
    return kind == JM_PACK_Q8 || kind == JM_PACK_I16 ||
           ((kind == JM_PACK_Q4 || kind == JM_PACK_Q4K) && tiles <= FEW);
}

/* By number of rows, JM_TILE_MIN first. NULL: no tiles of this kind. */
jm_tile_fn *const *jm_avx512_tiles(enum jm_pack_kind kind, bool in_place);

/* As jm_linear_fn, for as many of the groups as this can do, two at a time, of integer kinds;
 * returns the first that is left. unpack_stq: of JM_PACK_STQ; NULL: there is none. */
uint32_t jm_avx512_panels(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch,
                          jm_unpack_fn *unpack_stq);

#endif
