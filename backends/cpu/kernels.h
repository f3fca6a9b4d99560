/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of the cpu backend: one table a set, chosen once when a device is opened. The scalar
 * set is the reference: plain C, summed in f64, weights decoded from the file's own format. The
 * others work on repacked weights (pack.h) and are checked against it by tests/test_kernels.c, at
 * the edges by tests/test_kernels_edge.c.
 *
 * What is not finite is never hidden. An input or a scale that is NaN or infinite makes each result
 * that it takes part in NaN or infinite, which of the two is not promised, and changes no other; of
 * rms_norm the whole row, of attend the head (in a value: its column, with Q8_0 the 32 of its
 * scale), of argmax nothing, since NaN loses. swiglu and gelu are NaN and infinite where the
 * reference is; a gate below -88 may be 0. Squares in rms_norm, and what linears add up, must fit
 * in F32; the reference adds in F64. Rows may lie at any address that their type allows; nothing is
 * read behind one, but for blocks of keys.
 */
#ifndef JM_BACKENDS_CPU_KERNELS_H
#define JM_BACKENDS_CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "backends/cpu/pack.h"

/* Inputs of a linear, rows x cols. The integer ones are there when the weight's kind takes them. */
struct jm_acts {
    const float *f;       /* [rows, cols] */
    const int8_t *q;      /* [rows, cols] round(f / d) */
    const float *d;       /* [rows, cols / 32] largest |f| of the 32, / 127 */
    const int32_t *sum;   /* [rows, cols / 32] sum of q */
    const float *dsum;    /* [rows, cols / 32] d * sum, for JM_PACK_Q4K */
    const int32_t *sum16; /* [rows, cols / 16] sums of 16 q, for JM_PACK_Q6K */
    const int16_t *q16;   /* [rows, cols] round(f / d16), for JM_PACK_I16 */
    const float *d16;     /* [rows, cols / 32] largest |f| of the 32, / 8191 */
    const uint8_t *table; /* [rows, jm_table_bytes(cols)] for JM_PACK_STQ_SUMS, where rows are few:
                           * see jm_tables_fn; NULL: the kernel makes them for itself */
    uint32_t cols;
};

/* The same to be written: rows of a value as those that read it take it. NULL: nobody does. */
struct jm_forms {
    float *f;
    int8_t *q;
    float *d;
    int32_t *sum;
    float *dsum;
    int32_t *sum16;
    int16_t *q16;
    float *d16;
    uint8_t *table;
};

/* f32 that a linear of so many columns wants to work in: of each column 10 (the reference's decoded
 * weights), or of a slice of JM_SLICE columns 96 (a panel and rows of activations on AVX-512). */
enum { JM_SLICE = 2048, JM_SLICE_SCRATCH = 96, JM_COLUMN_SCRATCH = 10, JM_SCRATCH_ALIGN = 16 };
static inline size_t jm_linear_scratch(uint32_t cols)
{
    size_t slice = (size_t)JM_SLICE_SCRATCH * (cols < JM_SLICE ? cols : JM_SLICE),
           all = (size_t)JM_COLUMN_SCRATCH * cols;
    return (slice > all ? slice : all) + JM_SCRATCH_ALIGN;
}

/* y[r, o] = sum_k x[r, k] * w[o, k] for all rows and the outputs of groups [g0, g1). ldy: columns
 * of y. scratch: f32 [jm_linear_scratch(cols)], 8-byte aligned, this thread's. */
typedef void jm_linear_fn(const struct jm_packed *w, const struct jm_acts *x, uint32_t n_rows,
                          float *y, size_t ldy, uint32_t g0, uint32_t g1, float *scratch);

/* One row, the n_heads query heads that share a key/value head: out [n_heads, dim], each
 * softmax(scale * q.K) V over positions 0..n-1. q [n_heads, dim]; k as k_block says (below);
 * v [n, dim]. scores: f32 [JM_ATTEND_HEADS, n rounded up to 16], this thread's. */
typedef void jm_attend_fn(const float *q, uint32_t n_heads, const float *k, const float *v,
                          uint32_t dim, uint32_t n, float scale, float *scores, float *out);
enum { JM_ATTEND_HEADS = 4 };

/* The same over keys and values in IEEE half precision; and n floats made so, to the nearest, ties
 * to even, too large ones to infinity; and back. */
typedef void jm_attend16_fn(const float *q, uint32_t n_heads, const uint16_t *k, const uint16_t *v,
                            uint32_t dim, uint32_t n, float scale, float *scores, float *out);
typedef void jm_to_half_fn(const float *x, uint16_t *y, uint32_t n);
typedef void jm_from_half_fn(const uint16_t *x, float *y, uint32_t n);

/* The same over keys and values as Q8_0: 32 of one position and head are 8-bit levels, as quantise
 * makes them, with one scale in half precision. dim: a multiple of 32, at most JM_ATTEND8_DIM. */
struct jm_kv8 {
    const int8_t *k;    /* levels of keys, see jm_kv8_level */
    const uint16_t *dk; /* their scales, see jm_kv8_scale */
    const int8_t *v;    /* [n, dim] */
    const uint16_t *dv; /* [n, dim / 32] */
};
typedef void jm_attend8_fn(const float *q, uint32_t n_heads, const struct jm_kv8 *kv, uint32_t dim,
                           uint32_t n, float scale, float *scores, float *out);
enum { JM_ATTEND8_DIM = 512 };

/* Where level i of the key at a position lies, [position / B][dim / 4][B][4] with B = k_block: what
 * a product of four 8-bit integers takes lies together. */
static inline size_t jm_kv8_level(uint32_t position, uint32_t i, uint32_t dim, uint32_t k_block)
{
    size_t four = (size_t)(position / k_block) * (dim / 4) + i / 4;
    return (four * k_block + position % k_block) * 4 + i % 4;
}

/* Where the scale of its levels 32 b to 32 b + 31 lies, [position / B][dim / 32][B]. */
static inline size_t jm_kv8_scale(uint32_t position, uint32_t b, uint32_t dim, uint32_t k_block)
{
    return ((size_t)(position / k_block) * (dim / 32) + b) * k_block + position % k_block;
}

/* y[i] = a[i] + b[i] */
typedef void jm_add_fn(const float *a, const float *b, float *y, size_t n);

/* out[i] = gate[i] / (1 + exp(-gate[i])) * up[i] */
typedef void jm_swiglu_fn(const float *gate, const float *up, float *out, size_t n);

/* y[i] = x[i] / 2 * (1 + erf(x[i] / sqrt(2))) */
typedef void jm_gelu_fn(const float *x, float *y, size_t n);

/* out[i] = x[i] / sqrt(mean of x^2 + eps) * w[i]. out may be x. */
typedef void jm_rms_norm_fn(const float *x, const float *w, float eps, float *out, uint32_t n);

/* Halves of one head: (x[i], x[i + dim/2]) turns by the angle of pair i. turn: cos [dim/2], then
 * sin [dim/2]. out may be x. */
typedef void jm_rope_fn(const float *x, const float *turn, uint32_t dim, float *out);

/* Column of the first largest value, NaN being less than all; 0 where all are NaN. n > 0. */
typedef int32_t jm_argmax_fn(const float *x, uint32_t n);

/* One row of f32 [cols], cols % 32 == 0, as the quantised linears take it: see jm_acts. A block of
 * zeros has d 0; one that is not finite has d NaN, so that it is not hidden. */
typedef void jm_quantise_fn(const float *x, uint32_t cols, int8_t *q, float *d, int32_t *sum);
typedef void jm_quantise16_fn(const float *x, uint32_t cols, int16_t *q, float *d);

/* For JM_PACK_STQ_SUMS of one row q, cols % 64 == 0: tables of what the inputs c + 16 p, p = 0..3,
 * of each 64 add up to, [cols / 64][c][2][16], times each of the 16 fours of weights -1, 0 and 1
 * that the low bits of a code name (pack.h). A sum is two digits to the base of 31: 16 lower ones
 * from -15 to 15, then 16 upper ones. Rows are few up to JM_TABLE_ROWS. */
typedef void jm_tables_fn(const int8_t *q, uint32_t cols, uint8_t *table);
enum { JM_TABLE_ROWS = 4, JM_TABLE_INPUTS = 4, JM_TABLE_BYTES = 32 };
static inline size_t jm_table_bytes(size_t cols)
{
    return cols / JM_TABLE_INPUTS * JM_TABLE_BYTES;
}
_Static_assert(JM_TABLE_ROWS *JM_TABLE_BYTES / JM_TABLE_INPUTS <=
                   JM_COLUMN_SCRATCH * (int)sizeof(float),
               "a kernel has room for the tables of a few rows");

/* rms_norm and swiglu, rounded to all integers that y has, as quantise, quantise16 and jm_cpu_sums
 * would, bit for bit; n % 32 == 0. No f32 is written. */
typedef void jm_norm_round_fn(const float *x, const float *w, float eps, uint32_t n,
                              const struct jm_forms *y);
typedef void jm_swiglu_round_fn(const float *gate, const float *up, uint32_t n,
                                const struct jm_forms *y);

struct jm_cpu_kernels {
    const char *isa;
    struct jm_pack_layout pack;
    uint32_t k_block; /* B: keys lie as [position / B][dim][B]; 1, 8 or 16 */
    jm_linear_fn *linear;
    jm_attend_fn *attend;
    jm_attend16_fn *attend16;
    jm_attend8_fn *attend8;
    jm_to_half_fn *to_half;
    jm_from_half_fn *from_half;
    jm_add_fn *add;
    jm_swiglu_fn *swiglu;
    jm_gelu_fn *gelu;
    jm_rms_norm_fn *rms_norm;
    jm_rope_fn *rope;
    jm_argmax_fn *argmax;
    jm_quantise_fn *quantise;
    jm_quantise16_fn *quantise16; /* NULL unless pack.f16 is JM_PACK_I16 */
    jm_quantise_fn *quantise64;   /* with one scale for 64 inputs, given twice, cols % 64 == 0; NULL
                                   * unless pack.stq is JM_PACK_STQ_SUMS, which wants its like */
    jm_tables_fn *tables;         /* with quantise64 */
    jm_norm_round_fn *norm_round; /* NULL: one after the other */
    jm_swiglu_round_fn *swiglu_round;
};

/* What the k-quants want besides, from one row of q and d: see jm_acts. */
void jm_cpu_sums(const int8_t *q, const float *d, const int32_t *sum, uint32_t cols, float *dsum,
                 int32_t *sum16);

/* In C, for every set without faster ones. */
jm_gelu_fn jm_cpu_gelu;
jm_quantise_fn jm_cpu_quantise;
jm_quantise16_fn jm_cpu_quantise16;
jm_rms_norm_fn jm_cpu_rms_norm;
jm_rope_fn jm_cpu_rope;
jm_argmax_fn jm_cpu_argmax;

/* One row by JM_PACK_Q4K or JM_PACK_Q6K, with AVX-512 VNNI. */
void jm_avx512_linear_row(const struct jm_packed *w, const struct jm_acts *x, float *y, uint32_t g0,
                          uint32_t g1);

/* Of JM_PACK_STQ, with AVX-512 VBMI. */
jm_linear_fn jm_avx512_linear_stq;

/* AVX-512's over Q8_0; of more heads than JM_ATTEND_HEADS over F32; and what those of few share:
 * scores [n] become exp(score - top), up to a multiple of 16; the result is one over their sum. */
jm_attend8_fn jm_avx512_attend8;
void jm_avx512_attend_many(const float *q, uint32_t n_heads, const float *k, const float *v,
                           uint32_t dim, uint32_t n, float scale, float *out);
float jm_avx512_soften(float *scores, uint32_t n, float top);

/* Those of the other architecture are not in the build. */
extern const struct jm_cpu_kernels jm_cpu_scalar, jm_cpu_avx2, jm_cpu_avx_vnni, jm_cpu_avx512,
    jm_cpu_avx512_vbmi;
extern const struct jm_cpu_kernels jm_cpu_neon, jm_cpu_neon_dotprod, jm_cpu_neon_i8mm;

/* isa by name, NULL for the best; NULL when this machine or its OS lacks it, or no such name. */
const struct jm_cpu_kernels *jm_cpu_kernels_for(const char *isa);

/* The set that JM_CPU_ISA names; NULL when it names none. */
const char *jm_cpu_forced_set(void);

/* As jm_backend_ops.kernel_set. */
bool jm_cpu_kernel_set(size_t i, struct jm_kernel_set *out);

#endif
