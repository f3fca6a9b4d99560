/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as the vector kernels read them: groups of G outputs interleaved, so that one vector
 * holds the same input for G outputs and no horizontal sums are needed.
 *
 *   F32, F16: [group][k][G]
 *   Q8, Q4, Q2: [group][block of 32 k] of
 *       f16 scale [G], then the 32 k in eights of four, [k / 4][G][4], as
 *       Q8: s8;  Q4: u4, w + 8, k/4 = j in the low nibble and j + 4 in the high one;
 *       Q2: u2, w + 1, k/4 = j + 2 s in bits 2 s (j = 0..1, s = 0..3)
 *
 * Rows missing in the last group are zero. */
#ifndef JM_BACKENDS_CPU_PACK_H
#define JM_BACKENDS_CPU_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "backends/graph.h"

enum jm_pack_kind { JM_PACK_NONE, JM_PACK_F32, JM_PACK_F16, JM_PACK_Q8, JM_PACK_Q4, JM_PACK_Q2 };

struct jm_packed {
    enum jm_pack_kind kind;
    struct jm_tensor t; /* the source; its data are read for JM_PACK_NONE */
    uint32_t group;     /* G */
    uint32_t n_groups;  /* ceil(rows / G) */
    size_t group_bytes;
    uint8_t *data; /* [n_groups, group_bytes], 64-byte aligned, owned; NULL for NONE */
};

/* What a weight of this format is packed as: its own kind where there are kernels for it, else
 * F32, which loses nothing. */
enum jm_pack_kind jm_pack_kind_of(jm_format f);

/* group 1: JM_PACK_NONE, nothing copied. JM_ENOMEM. */
jm_status jm_pack(const struct jm_tensor *t, uint32_t group, struct jm_packed *out, jm_err *err);
void jm_packed_free(struct jm_packed *p);

static inline int jm_packed_is_quantised(const struct jm_packed *p)
{
    return p->kind >= JM_PACK_Q8;
}

#endif
