/* SPDX-License-Identifier: Apache-2.0 */
/* The language between workloads and backends. A workload records a graph once, by calling the
 * functions below; a backend compiles it once and runs it many times.
 *
 * A value is a matrix of f32, rows x cols. A row is one token or one cell of a picture; how many
 * rows there are is given with each batch. Rows of one sequence that stand together in a batch are
 * a run; a value may also have one row a run. Recording never fails on the spot: the first error
 * sticks to the graph and jm_graph_check reports it.
 *
 * A graph may have several entries: parts that a batch runs one at a time, over the same weights
 * and the same key/value caches. A model that reads a prompt once and draws in many steps has one
 * entry for each. */
#ifndef JM_BACKENDS_GRAPH_H
#define JM_BACKENDS_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/format.h"
#include "base/status.h"

/* A weight: rows x cols, row after row, each jm_format_row_bytes(format, cols) bytes. */
struct jm_tensor {
    const char *name; /* the file owns it */
    jm_format format;
    uint32_t cols; /* inputs: the length of a row */
    uint32_t rows; /* outputs; 1 for a vector */
    const void *data;
    bool mapped; /* data lie in a mapped file: whoever has copied them may give the pages back */
};

enum jm_op {
    JM_OP_EMBED,     /* row i = decoded row token[i] of w */
    JM_OP_LINEAR,    /* y = x W^T */
    JM_OP_RMS_NORM,  /* each part of `part` columns: x / sqrt(mean(x^2) + eps) * w */
    JM_OP_ROPE,      /* rotary positions, halves paired (i, i + head_dim/2) */
    JM_OP_ATTENTION, /* appends k, v at the row's position in its slot, then attends 0..position */
    JM_OP_SWIGLU,    /* silu(in0) * in1 */
    JM_OP_ADD,       /* in0 + in1 */
    JM_OP_GATHER_ROWS, /* the batch's gather rows of in0 */
    JM_OP_ARGMAX,      /* i32 [rows, 1]: column of the first largest value of each row */
    JM_OP_INPUT,       /* real values given with the batch */
    JM_OP_NORM_PART,   /* RMS_NORM of a span of each head; the other columns stay */
    JM_OP_ROPE_PART,   /* rotary positions of a span of each head; the other columns stay */
    JM_OP_ATTEND_RUN,  /* attends a cache before the row's position, then all rows of its run */
    JM_OP_SILU,        /* x / (1 + exp(-x)) */
    JM_OP_GELU,        /* x / 2 * (1 + erf(x / sqrt(2))) */
    JM_OP_ADD_RUN,     /* in0 + in1's row of the run */
    JM_OP_TRANSPOSE,   /* a row as [cols / part, part] becomes [part, cols / part] */
    JM_OP_COUNT
};

enum jm_rows {
    JM_ROWS_ALL,      /* n_rows */
    JM_ROWS_GATHERED, /* n_gather */
    JM_ROWS_RUN,      /* n_runs */
};

/* Which of a row's three positions: along the text, down the picture, across the picture. */
enum jm_axis { JM_AXIS_T, JM_AXIS_H, JM_AXIS_W };

typedef uint32_t jm_value; /* index of the node that makes it */

struct jm_node {
    enum jm_op op;
    jm_value in[3];
    uint32_t n_in;
    uint32_t cols;
    enum jm_rows rows;
    uint32_t entry;        /* which part of the graph it belongs to */
    struct jm_tensor w;    /* EMBED, LINEAR, RMS_NORM and NORM_PART ([part]) */
    struct jm_tensor bias; /* LINEAR: [w.rows], or data NULL: none */
    uint32_t times;    /* LINEAR: a row is this many inputs of w.cols, made into as many outputs */
    float eps;         /* RMS_NORM, NORM_PART */
    uint32_t part;     /* RMS_NORM, NORM_PART: columns normed together; ROPE_PART: columns turned;
                        * TRANSPOSE: the inner dimension */
    uint32_t at;       /* NORM_PART, ROPE_PART: where in each head the part begins */
    float rope_base;   /* ROPE, ROPE_PART */
    enum jm_axis axis; /* ROPE_PART */
    bool interleaved;  /* ROPE_PART: pairs (2i, 2i + 1) instead of halves */
    uint32_t grid;     /* ROPE_PART: see struct jm_rope */
    uint32_t head_dim; /* ROPE, NORM_PART, ROPE_PART, ATTENTION, ATTEND_RUN */
    uint32_t n_heads;  /* ATTENTION, ATTEND_RUN */
    uint32_t n_kv_heads;
    uint32_t cache;  /* ATTENTION, ATTEND_RUN: 0..n_caches-1, one for each layer */
    float scale;     /* ATTENTION, ATTEND_RUN: on q.k */
    uint32_t number; /* INPUT: which of the batch's inputs */
};

enum { JM_MAX_OUTPUTS = 4, JM_MAX_INPUTS = 4 };

typedef struct jm_graph {
    struct jm_node *nodes; /* [n_nodes], in an order that can be run */
    uint32_t n_nodes, cap_nodes;
    uint32_t n_caches;
    uint32_t n_entries;                 /* at least 1 */
    uint32_t n_inputs;                  /* of all entries together */
    uint32_t input_cols[JM_MAX_INPUTS]; /* [n_inputs] */
    enum jm_rows input_rows[JM_MAX_INPUTS];
    jm_value outputs[JM_MAX_OUTPUTS];
    uint32_t n_outputs;
    jm_err err;
} jm_graph;

const char *jm_op_name(enum jm_op op);

/* NULL when out of memory. */
jm_graph *jm_graph_new(void);
void jm_graph_free(jm_graph *g);
/* JM_OK, or the first thing that went wrong while recording. */
jm_status jm_graph_check(const jm_graph *g, jm_err *err);

/* w is copied; its data must outlive every plan compiled from g. */
jm_value jm_embed(jm_graph *g, const struct jm_tensor *table);
jm_value jm_linear(jm_graph *g, jm_value x, const struct jm_tensor *w);
/* w: F32, F16 or BF16, cols == part; the columns of x are a multiple of part. */
jm_value jm_rms_norm(jm_graph *g, jm_value x, const struct jm_tensor *w, float eps, uint32_t part);
jm_value jm_rope(jm_graph *g, jm_value x, uint32_t head_dim, float base);
/* q: n_heads * head_dim columns; k, v: n_kv_heads * head_dim. q may be gathered: then all rows of k
 * and v are appended, and only the gathered rows attend. */
jm_value jm_attention(jm_graph *g, jm_value q, jm_value k, jm_value v, uint32_t n_heads,
                      uint32_t n_kv_heads, uint32_t head_dim, float scale);
jm_value jm_swiglu(jm_graph *g, jm_value gate, jm_value up);
jm_value jm_add(jm_graph *g, jm_value a, jm_value b);
jm_value jm_gather_rows(jm_graph *g, jm_value x);
jm_value jm_argmax(jm_graph *g, jm_value x);

/* What follows belongs to a new entry and can use no value of the earlier ones. The first entry, 0,
 * is there from the start. Returns the entry's number. */
uint32_t jm_graph_entry(jm_graph *g);
/* rows: JM_ROWS_ALL or JM_ROWS_RUN. Its number is the order among all inputs of the graph. */
jm_value jm_input(jm_graph *g, uint32_t cols, enum jm_rows rows);
/* As jm_linear, plus a bias, one value an output; times: x holds that many inputs side by side
 * (patches of one cell), each of which meets the same weight. */
jm_value jm_linear_bias(jm_graph *g, jm_value x, const struct jm_tensor *w,
                        const struct jm_tensor *bias, uint32_t times);
/* Norms w->cols columns from `at` on in each head. */
jm_value jm_norm_part(jm_graph *g, jm_value x, const struct jm_tensor *w, float eps,
                      uint32_t head_dim, uint32_t at);

/* The pair i of a part turns by position * base^(-2 i / part). With grid > 0 a row holds grid *
 * grid heads, the patches of a cell in rows: patch j stands at (h * grid + j / grid, w * grid +
 * j % grid), and the axis is H or W. */
struct jm_rope {
    uint32_t head_dim, at, part; /* part is even */
    enum jm_axis axis;
    float base;
    bool interleaved;
    uint32_t grid;
};
jm_value jm_rope_part(jm_graph *g, jm_value x, const struct jm_rope *r);
/* Like jm_attention, but reads what attention node number `cache` of an earlier entry (0: the
 * first) left in the row's slot at positions below the row's own, then all k, v of the row's run,
 * before and behind it. Nothing is appended to the cache. */
jm_value jm_attend_run(jm_graph *g, jm_value q, jm_value k, jm_value v, uint32_t n_heads,
                       uint32_t n_kv_heads, uint32_t head_dim, float scale, uint32_t cache);
jm_value jm_silu(jm_graph *g, jm_value x);
jm_value jm_gelu(jm_graph *g, jm_value x);
/* x has JM_ROWS_ALL, each has JM_ROWS_RUN. */
jm_value jm_add_run(jm_graph *g, jm_value x, jm_value each);
jm_value jm_transpose(jm_graph *g, jm_value x, uint32_t inner);
/* Makes v fetchable; returns its number, 0, 1, … */
uint32_t jm_graph_output(jm_graph *g, jm_value v);

#endif
