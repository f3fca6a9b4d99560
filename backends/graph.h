/* SPDX-License-Identifier: Apache-2.0 */
/* The language between workloads and backends. A workload records a graph once, by calling the
 * functions below; a backend compiles it once and runs it many times.
 *
 * A value is a matrix of f32, rows x cols. A row is one token; how many rows there are is given
 * with each batch. Recording never fails on the spot: the first error sticks to the graph and
 * jm_graph_check reports it. */
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
    JM_OP_COUNT
};

typedef uint32_t jm_value; /* index of the node that makes it */

struct jm_node {
    enum jm_op op;
    jm_value in[3];
    uint32_t n_in;
    uint32_t cols;
    bool gathered;      /* has n_gather rows instead of n_rows */
    struct jm_tensor w; /* EMBED, LINEAR, RMS_NORM (f32 [part]) */
    float eps;          /* RMS_NORM */
    uint32_t part;      /* RMS_NORM: columns normed together */
    float rope_base;    /* ROPE */
    uint32_t head_dim;  /* ROPE, ATTENTION */
    uint32_t n_heads;   /* ATTENTION */
    uint32_t n_kv_heads;
    uint32_t cache; /* ATTENTION: 0..n_caches-1, one for each layer */
    float scale;    /* ATTENTION: on q.k */
};

enum { JM_MAX_OUTPUTS = 4 };

typedef struct jm_graph {
    struct jm_node *nodes; /* [n_nodes], in an order that can be run */
    uint32_t n_nodes, cap_nodes;
    uint32_t n_caches;
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
/* w: f32, cols == part; the columns of x are a multiple of part. */
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
/* Makes v fetchable; returns its number, 0, 1, … */
uint32_t jm_graph_output(jm_graph *g, jm_value v);

#endif
