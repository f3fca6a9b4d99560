/* SPDX-License-Identifier: Apache-2.0 */
/* Linears over quantised weights. */
#ifndef JM_BACKENDS_CPU_AVX2_QUANTISED_H
#define JM_BACKENDS_CPU_AVX2_QUANTISED_H

#include "backends/cpu/avx2/one_row.h"
#include "backends/cpu/avx2/panel_tile.h"
#include "backends/cpu/avx2/stq.h"

/* A linear, and its room in scratch. */
struct work {
    const struct jm_packed *w;
    const struct jm_acts *x;
    float *y;
    size_t ldy;
    uint32_t g0, g1;
    size_t rows, tiles;
    bool packed; /* levels stay as they are in memory */
    uint8_t *levels, *scales, *acts;
};

/* A panel of four bits, unpacked, is 16 KB of a slice. Shorter slices would read and write all sums
 * more often. */
enum { SLICE = PIECE, FEW_TILES = 4 };

/* Tiles as even as they can be: 9 rows are not 4, 4 and 1 but 3, 3 and 3. */
INLINE size_t first_row(const struct work *k, size_t t)
{
    return k->rows * t / k->tiles;
}

INLINE void multiply_rows(const struct piece *p, size_t rows, const enum jm_pack_kind kind,
                          const bool packed)
{
    if (rows == 4)
        multiply(p, 4, kind, packed);
    else if (rows == 3)
        multiply(p, 3, kind, packed);
    else
        multiply(p, 2, kind, packed);
}

/* Where a slice begins in a group: its scales, and behind these its levels. */
INLINE size_t slice_at(uint32_t from, const enum jm_pack_kind kind)
{
    return from / SLICE *
           (SLICE / block_of(kind) * packed_bytes(kind) + SLICE / SUPER * packed_scale_bytes(kind));
}

INLINE size_t slice_scales(const struct slice s, const enum jm_pack_kind kind)
{
    return s.cols / block_of(kind) * packed_scale_bytes(kind) / (SUPER / block_of(kind));
}

/* Where in memory the group with outputs 8 g to 8 g + 7 begins, and which of them they are. */
struct lanes {
    const uint8_t *group;
    size_t first;
};

INLINE struct lanes lanes_at(const struct jm_packed *w, uint32_t g, const enum jm_pack_kind kind)
{
    const uint32_t each = (uint32_t)group_of(kind) / LANES;
    return (struct lanes){ w->data + g / each * w->group_bytes, (size_t)(g % each) * LANES };
}

/* Groups g and g + 1, or g twice where it is the last one. */
INLINE void place_panel(const struct work *k, uint32_t g, struct slice s, struct piece *p,
                        const enum jm_pack_kind kind)
{
    const size_t scales = slice_at(s.from, kind), levels = scales + slice_scales(s, kind);
    for (uint32_t j = 0; j < PAIR; j++) {
        const uint32_t have = g + j < k->g1 ? g + j : g;
        const struct lanes at = lanes_at(k->w, have, kind);
        uint8_t *own = k->levels + j * (level_bytes(kind) / PAIR);
        p->left[j] = g + j < k->g1 ? k->w->t.rows - have * LANES : 0;
        p->levels[j] = at.group + levels;
        unpack_scales(at.group + scales + 2 * at.first, k->scales + j * 32, p->blocks, kind);
        if (k->packed)
            continue;
        if (kind != JM_PACK_STQ_SUMS)
            unpack_levels(p->levels[j], own, p->blocks, kind);
        else if (j == 0)
            unpack_codes(p->levels[j] + at.first, own, p->blocks);
        p->levels[j] = own;
    }
    p->scales = k->scales;
}

/* Part i of n of what the panel after group g's reads will be asked for, the last one's being the
 * first of the next slice: of each group so few bytes follow each other that processors notice too
 * late. Behind the last slice lies another group: nothing that is wanted, and no harm. Of scales,
 * which are few, now. Groups of a panel that lie together are asked for half by half, and not at
 * all where they lie with those of this panel. */
INLINE void ask_next(const struct work *k, struct piece *p, uint32_t g, struct slice s, size_t i,
                     size_t n, const enum jm_pack_kind kind)
{
    const bool last = g + PAIR >= k->g1;
    const uint32_t next = last ? k->g0 : g + PAIR, from = last ? s.from + s.cols : s.from;
    const bool shared = group_of(kind) > LANES, here = shared && next % (group_of(kind) / LANES);
    const size_t lines = here ? 0 : p->blocks * packed_bytes(kind) / LINE / (shared ? PAIR : 1),
                 first = lines * i / n,
                 scales = p->blocks * packed_scale_bytes(kind) / (SUPER / block_of(kind)) / LINE;
    for (uint32_t j = 0; j < PAIR; j++) {
        const struct lanes at = lanes_at(k->w, next + j < k->g1 ? next + j : next, kind);
        const char *scale = (const char *)at.group + slice_at(from, kind);
        p->ask[j] = scale + slice_scales(s, kind) + ((shared ? j * lines : 0) + first) * LINE;
        for (size_t l = scales * i / n; l < scales * (i + 1) / n; l++)
            _mm_prefetch(scale + l * LINE, _MM_HINT_T0);
    }
    p->ask_pace = (uint32_t)(((lines * (i + 1) / n - first) * PACE + p->blocks - 1) / p->blocks);
}

/* Asks for the sums that tile t of the panel at group g goes on with or writes, a line of each row:
 * rows lie far apart, where no processor looks ahead, and a linear's result may be larger than its
 * caches. */
INLINE void ask_sums(const struct work *k, size_t t, uint32_t g)
{
    for (size_t r = first_row(k, t); r < first_row(k, t + 1); r++)
        _mm_prefetch((const char *)(k->y + r * k->ldy + (size_t)g * LANES), _MM_HINT_T0);
}

/* Tiles [t0, t1) by all panels of a slice. */
INLINE void run_slice(const struct work *k, size_t t0, size_t t1, struct slice s,
                      const enum jm_pack_kind kind)
{
    const uint32_t blocks = s.cols / block_of(kind);
    const size_t tile_bytes = blocks * act_bytes(kind);
    struct piece p = { .blocks = blocks, .goes_on = s.from > 0, .ldy = k->ldy };
    for (size_t t = t0; t < t1; t++)
        lay_tile(k->acts + (t - t0) * tile_bytes, k->x, first_row(k, t),
                 first_row(k, t + 1) - first_row(k, t), s, kind);
    for (uint32_t g = k->g0; g < k->g1; g += PAIR) {
        place_panel(k, g, s, &p, kind);
        p.acts = k->acts;
        for (size_t t = t0; t < t1; t++, p.acts += tile_bytes) {
            const size_t row = first_row(k, t), rows = first_row(k, t + 1) - row;
            p.y = k->y + row * k->ldy + (size_t)g * LANES;
            ask_next(k, &p, g, s, t - t0, t1 - t0, kind);
            if (t + 1 < t1)
                ask_sums(k, t + 1, g);
            else if (g + PAIR < k->g1)
                ask_sums(k, t0, g + PAIR);
            if (k->packed && kind != JM_PACK_STQ_SUMS)
                multiply_rows(&p, rows, kind, true);
            else
                multiply_rows(&p, rows, kind, false);
        }
    }
}

INLINE void run(const struct work *k, size_t act_room, const enum jm_pack_kind kind)
{
    const uint32_t cols = k->x->cols, widest = cols < SLICE ? cols : SLICE;
    const size_t most = act_room / (widest / block_of(kind) * act_bytes(kind)),
                 passes = (k->tiles + most - 1) / most;
    for (size_t i = 0; i < passes; i++) {
        for (uint32_t from = 0; from < cols; from += SLICE) {
            const struct slice s = { from, cols - from < SLICE ? cols - from : SLICE };
            run_slice(k, k->tiles * i / passes, k->tiles * (i + 1) / passes, s, kind);
        }
    }
}

/* Up to the next multiple of 64 bytes. */
INLINE uint8_t *align(float *p)
{
    return (uint8_t *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
}

INLINE void linear_quantised(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                             float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch,
                             const enum jm_pack_kind kind)
{
    const bool codes = kind == JM_PACK_STQ_SUMS;
    if (codes && n_rows <= JM_TABLE_ROWS) {
        linear_few_stq(w, x, n_rows, y, ldy, g0, g1, align(scratch));
        return;
    }
    if (!codes && n_rows <= FEW_ROWS) {
        linear_few(w, x, n_rows, y, ldy, g0, g1, kind);
        return;
    }
    const uint32_t blocks = (x->cols < SLICE ? x->cols : SLICE) / block_of(kind),
                   each = (uint32_t)group_of(kind) / LANES, end = (w->t.rows + LANES - 1) / LANES;
    const size_t levels = blocks * level_bytes(kind), scales = blocks * scale_bytes(kind),
                 all = (jm_linear_scratch(x->cols) - JM_SCRATCH_ALIGN) * sizeof *scratch;
    struct work k = { .w = w, .x = x, .y = y, .ldy = ldy, .g0 = g0 * each, .rows = n_rows };
    k.g1 = g1 * each < end ? g1 * each : end;
    k.tiles = (n_rows + TILE - 1) / TILE;
    /* Q8 is taken as it is: by step_levels, or by VPDPBUSD. */
    k.packed = kind == JM_PACK_Q8 || (k.tiles <= FEW_TILES && !codes);
    k.levels = align(scratch);
    k.scales = k.levels + levels;
    k.acts = k.scales + scales;
    run(&k, all - levels - scales, kind);
}

#endif
