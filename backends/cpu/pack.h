/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as the vector kernels read them: groups of G outputs interleaved, so that one vector
 * holds the same input for G outputs and no horizontal sums are needed.
 *
 *   F32, F16: [group][k][G]
 *   I16, Q8, Q4, Q2: [group] of the levels of all blocks of 32 k, then the scales of all blocks
 *       levels, [block], the 32 k in eights of four, [k / 4][G][4], as
 *         Q8: u8, w + 128;  Q4: u4, w + 8, k/4 = j in the low nibble and j + 4 in the high one;
 *         Q2: u2, w + 1, k/4 = j + 2 s in bits 2 s (j = 0..1, s = 0..3);
 *         I16: s16, in sixteens of two, [k / 2][G][2], |w| < 2^13;
 *         STQ, STQ_SUMS: five bits for each four, see below;
 *         Q4K: as Q4, without the 8;  Q6K: w + 32, its low four bits as Q4 and the two above as Q2
 *       scales, [block][G]: f16; of I16 the exponent byte e of 2^(e - 127), 255 where a weight of
 *         the block is not finite. Of 256 k together, [k / 256]:
 *         STQ, STQ_SUMS: f16 d [G];
 *         Q4K: f16 d [G], f16 dmin [G], u8 scales [8][G], u8 offsets [8][G];
 *         Q6K: f16 d [G], s8 scales [16][G]
 *
 * In pieces of so many k, a group has the scales of a piece, then its levels, then the next piece.
 *
 * STQ keeps the codes of STQ1_0 (format_codecs.h), those of 128 k in five vectors [5][G][4]. A
 * group has the inputs k + 16 p, p = 0..3, of 64; code vector u = 0..7 holds in byte [G][i] the
 * group that begins at k = u / 4 * 64 + u % 4 * 4 + i. Vectors 0 to 4 have the codes of their own
 * number in their low five bits. The three bits above, of low bits first: 5 lies in vector 0 (its
 * low three) and in bits 5 and 6 of vector 1; 6 the same in vectors 2 and 3; 7 in vector 4, its bit
 * 3 in bit 7 of vector 1, its bit 4 in bit 7 of vector 3. So five of eight codes need no work
 * before a table of 64 bytes that ignores the bits above, and the other three little.
 *
 * STQ_SUMS is for tables of what four inputs can add up to (jm_tables_fn), for 32 outputs at once:
 * G is 32 whatever the set's is. 64 k are ten vectors of a byte for each output. Of code c, that of
 * inputs k + c + 16 p, the low four bits lie in the lower half of vector c, or from c = 8 on in the
 * upper half of vector c - 8; the fifth, which turns all signs, in bit c % 8 of vector 8 + c / 8.
 * The low four bits are of two pairs: bits 0 and 1 of weights 2 and 3, bit 3 of weights 0 and 1,
 * and bit 2 says that the zero is among these. Of a pair without it the bits are the signs, 1 for
 * +; of the other one the lower bit is 0 when its first weight is zero, and the upper one the sign
 * of the one that isn't. What would be the upper bit of weights 0 and 1 is always 1.
 *
 * I16 holds F16 weights as integers: exactly those above a quarter of the block's largest, the
 * others rounded to 2^-13 of it. Two of them multiply in one instruction, which F16 and F32 do not,
 * and 32 products of 13 by 13 bits still fit in 31.
 *
 * A group begins at a multiple of 64 bytes. Rows missing in the last group are zero. */
#ifndef JM_BACKENDS_CPU_PACK_H
#define JM_BACKENDS_CPU_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/graph.h"

enum jm_pack_kind {
    JM_PACK_NONE,
    JM_PACK_F32,
    JM_PACK_F16,
    JM_PACK_I16,
    JM_PACK_Q8,
    JM_PACK_Q4,
    JM_PACK_Q2,
    JM_PACK_STQ,
    JM_PACK_STQ_SUMS,
    JM_PACK_Q4K,
    JM_PACK_Q6K
};

enum { JM_SUMS_GROUP = 32 };

/* What a kernel set wants. */
struct jm_pack_layout {
    uint32_t group;        /* G; 1: weights stay as the file has them */
    enum jm_pack_kind f16; /* of F16 weights: JM_PACK_F16 or JM_PACK_I16 */
    enum jm_pack_kind stq; /* of STQ1_0 weights: JM_PACK_STQ or _SUMS; JM_PACK_NONE: Q2 */
    uint32_t piece;        /* k of a piece, a multiple of 256; 0: groups are not cut into pieces */
};

struct jm_packed {
    enum jm_pack_kind kind;
    struct jm_tensor t; /* the source; its data are read for JM_PACK_NONE */
    uint32_t group;     /* G; of STQ_SUMS JM_SUMS_GROUP */
    uint32_t n_groups;  /* ceil(rows / G) */
    size_t group_bytes;
    size_t scales;  /* where a group's scales begin; 0 with pieces, and for the float kinds */
    uint32_t piece; /* k of a piece; 0: there are none */
    uint8_t *data;  /* [n_groups, group_bytes], 64-byte aligned; NULL for NONE */
    uint8_t *owned; /* data, when jm_pack took it */
};

/* As the layout wants it, where the columns allow. Formats without kernels become I16 where F16
 * does, else F32, which loses nothing; I16 needs a multiple of 32 columns. group 1: JM_PACK_NONE,
 * nothing copied. JM_ENOMEM. */
jm_status jm_pack(const struct jm_tensor *t, struct jm_pack_layout layout, struct jm_packed *out,
                  jm_err *err);
/* The same in two steps, so that threads can share the work and memory. First all but data, and the
 * bytes that data needs, a multiple of 64; then, with out->data set, any groups [from, to) in any
 * order. tmp: f32 [cols], this thread's. */
jm_status jm_pack_size(const struct jm_tensor *t, struct jm_pack_layout layout,
                       struct jm_packed *out, size_t *bytes, jm_err *err);
void jm_pack_groups(struct jm_packed *p, uint32_t from, uint32_t to, float *tmp);
void jm_packed_free(struct jm_packed *p);

/* Takes int8 activations. */
static inline int jm_packed_is_quantised(const struct jm_packed *p)
{
    return p->kind >= JM_PACK_Q8;
}

#endif
