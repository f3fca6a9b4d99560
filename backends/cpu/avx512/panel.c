/* SPDX-License-Identifier: Apache-2.0 */
/* Linears of many rows of integer formats, AVX-512 with VNNI. The inputs are cut into slices, and
 * rows into passes, so that a pass's activations of a slice and a panel of weights lie in the L2
 * cache. Each panel, the weights of 32 outputs as bytes and F32 scales, is unpacked once for all
 * tiles of rows of a pass; what it has multiplied waits in y for the next slice. */
#include "backends/cpu/avx512/panel.h"

enum { G = JM_PANEL_GROUPS, SUPER = 256 };

/* A linear, and its room in scratch. */
struct work {
    const struct jm_packed *w;
    const struct jm_acts *x;
    float *y;
    size_t ldy;
    uint32_t g0, g1;              /* groups, an even number of them */
    uint32_t tiles, rows, larger; /* of a tile; the first ones have one more */
    bool in_place;
    jm_unpack_fn *unpack;
    jm_tile_fn *const *tile; /* by rows */
    uint8_t *levels;
    float *scales;
    uint8_t *acts;
};

static jm_unpack_fn *unpack_of(enum jm_pack_kind kind, jm_unpack_fn *unpack_stq)
{
    return kind == JM_PACK_STQ   ? unpack_stq
           : kind == JM_PACK_Q4K ? jm_avx512_unpack_q4k
           : kind == JM_PACK_Q6K ? jm_avx512_unpack_q6k
                                 : jm_avx512_unpack_plain;
}

/* Bytes a column that a panel takes at most, of levels and of scales, and activations. */
enum {
    LEVEL_BYTES = G * LANES,
    SCALE_BYTES = 2 * G * LANES * (int)sizeof(float) / BLOCK,
    ACT_BYTES = JM_SLICE_SCRATCH * (int)sizeof(float) - LEVEL_BYTES - SCALE_BYTES,
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Tiles as even as they can be: 16 rows are not 6, 6 and 4 but 6, 5 and 5. */
static uint32_t first_row(const struct work *k, uint32_t t)
{
    return k->rows * t + least(t, k->larger);
}

static uint32_t rows_of(const struct work *k, uint32_t t)
{
    return k->rows + (t < k->larger);
}

/* Slice i of n, as even as multiples of 256 can be. */
static struct jm_slice slice_of(uint32_t cols, uint32_t i, uint32_t n)
{
    const uint32_t supers = (cols + SUPER - 1) / SUPER, from = supers * i / n * SUPER,
                   to = least(supers * (i + 1) / n * SUPER, cols);
    return (struct jm_slice){ .from = from, .cols = to - from };
}

/* Asks for a slice of groups g and g + 1: for the levels within so many steps; for the scales,
 * which are few, at once, unless the slice is all and they follow the levels. */
static struct ahead ask_for(const struct work *k, uint32_t g, struct jm_slice s, size_t steps)
{
    const struct jm_packed *w = k->w;
    const size_t all = w->t.cols / BLOCK, from = s.from / BLOCK, n = s.cols / BLOCK,
                 block = w->scales / all, scale = (w->group_bytes - w->scales) / all,
                 bytes = n == all ? w->group_bytes : n * block;
    const uint8_t *p = w->data + g * w->group_bytes, *of = p + w->scales + from * scale;
    struct ahead scales = {
        .p = of, .end = of + n * scale, .twin = w->group_bytes, .bytes = n * scale
    };
    if (n < all)
        ask(&scales);
    p += from * block;
    return (struct ahead){
        .p = p, .end = p + bytes, .twin = w->group_bytes, .bytes = bytes / steps + 1
    };
}

/* Tiles [t0, t1) by all panels of a slice. next: the slice that follows; no columns: none does. */
static void run_slice(const struct work *k, uint32_t t0, uint32_t t1, struct jm_slice s,
                      struct jm_slice next)
{
    const size_t tile_bytes = s.cols / BLOCK * jm_tile_block_bytes(k->w->kind);
    const size_t steps = (size_t)(t1 - t0) * (s.cols / BLOCK);
    struct jm_piece p = { .slice = s, .ldy = k->ldy };
    p.panel.in_place = k->in_place;
    p.panel.own = k->levels;
    p.panel.scales = k->scales;
    for (uint32_t t = t0, row = first_row(k, t0); t < t1; row += rows_of(k, t), t++)
        jm_avx512_lay_tile(k->acts + (t - t0) * tile_bytes, k->x, row, rows_of(k, t), s,
                           k->w->kind);
    for (uint32_t g = k->g0; g < k->g1; g += G) {
        k->unpack(k->w, g, s, &p.panel);
        p.ahead = (struct ahead){ 0 };
        if (g + G < k->g1)
            p.ahead = ask_for(k, g + G, s, steps);
        else if (next.cols > 0)
            p.ahead = ask_for(k, k->g0, next, steps);
        for (uint32_t j = 0; j < G; j++)
            p.lanes[j] = lanes_of(k->w->t.rows - (g + j) * LANES);
        p.acts = k->acts;
        p.y = k->y + first_row(k, t0) * k->ldy + (size_t)g * LANES;
        for (uint32_t t = t0; t < t1; t++, p.acts += tile_bytes) {
            const uint32_t rows = rows_of(k, t);
            k->tile[rows - JM_TILE_MIN](&p);
            p.y += rows * k->ldy;
        }
    }
}

/* What is unpacked for few tiles costs least in the L1 cache, of which another thread may have
 * half: 16 KB of levels. Of many rows sums wait too often in y then. */
static uint32_t slices_of(const struct work *k)
{
    enum { FEW_TILES = 8, SHORT = 512 };
    const uint32_t most = !k->in_place && k->tiles <= FEW_TILES ? SHORT : JM_SLICE;
    return (k->x->cols + most - 1) / most;
}

static void run(const struct work *k)
{
    const uint32_t cols = k->x->cols, slices = slices_of(k);
    const uint32_t most = ACT_BYTES * BLOCK / (uint32_t)jm_tile_block_bytes(k->w->kind);
    const uint32_t passes = (k->tiles + most - 1) / most;
    for (uint32_t i = 0; i < passes; i++) {
        const uint32_t t0 = k->tiles * i / passes, t1 = k->tiles * (i + 1) / passes;
        for (uint32_t j = 0; j < slices; j++) {
            const struct jm_slice none = { 0 };
            run_slice(k, t0, t1, slice_of(cols, j, slices),
                      j + 1 < slices ? slice_of(cols, j + 1, slices) : none);
        }
    }
}

/* Up to the next multiple of 64 bytes. */
static uint8_t *align(float *p)
{
    return (uint8_t *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
}

uint32_t jm_avx512_panels(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch,
                          jm_unpack_fn *unpack_stq)
{
    const uint32_t widest = least(x->cols, JM_SLICE);
    struct work k = { .w = w, .x = x, .y = y, .ldy = ldy, .g0 = g0 };
    k.g1 = g1 - (g1 - g0) % G;
    k.tiles = (n_rows + JM_TILE_MAX - 1) / JM_TILE_MAX;
    k.rows = n_rows / k.tiles;
    k.larger = n_rows % k.tiles;
    k.in_place = jm_tiles_in_place(w->kind, k.tiles);
    k.tile = jm_avx512_tiles(w->kind, k.in_place);
    k.unpack = unpack_of(w->kind, unpack_stq);
    if (n_rows < JM_PANEL_ROWS || k.g1 == g0 || !k.tile || !k.unpack)
        return g0;
    k.levels = align(scratch);
    k.scales = (float *)(void *)(k.levels + (size_t)LEVEL_BYTES * widest);
    k.acts = k.levels + (size_t)(LEVEL_BYTES + SCALE_BYTES) * widest;
    run(&k);
    return k.g1;
}
