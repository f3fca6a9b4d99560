/* SPDX-License-Identifier: Apache-2.0 */
/* Linears of many rows: see panel.c. */
#ifndef JM_BACKENDS_CPU_AVX512_PANEL_H
#define JM_BACKENDS_CPU_AVX512_PANEL_H

#include "backends/cpu/kernels.h"

enum {
    JM_PANEL_GROUPS = 2,
    JM_PANEL_ROWS = 8, /* the fewest that pay for unpacking */
};

/* The weights of two groups, unpacked. */
struct jm_panel {
    uint8_t *levels; /* [2][cols / 4][16][4] */
    float *scales;   /* what levels are multiplied with:
                      *   Q4K: [cols / 32] of scales [2][16], then of what is taken off [2][16]
                      *   Q6K: [cols / 16][2][16];  STQ: [cols / 256][2][16] */
};

/* Fills one with groups g and g + 1. */
typedef void jm_unpack_fn(const struct jm_packed *w, uint32_t g, struct jm_panel *out);

/* As jm_linear_fn, for as many of the groups as this can do, two at a time and of the kinds in
 * jm_panel; returns the first that is left. unpack_stq: of JM_PACK_STQ; NULL: there is none. */
uint32_t jm_avx512_panels(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch,
                          jm_unpack_fn *unpack_stq);

#endif
